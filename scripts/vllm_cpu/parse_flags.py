"""Put command lines to the parser and the checks of `vllm serve`; run with vLLM's own Python.

    parse_flags.py < COMMANDS.json > VERDICTS.json

COMMANDS.json: a list of command lines, each a list that starts with "vllm", "serve".
VERDICTS.json: for each of them null, or what is wrong with it.
"""

import contextlib
import io
import json
import sys

from vllm.entrypoints.cli.serve import cmd_init
from vllm.utils.argparse_utils import FlexibleArgumentParser


def main() -> None:
    """Read the commands, write the verdicts."""
    parser = FlexibleArgumentParser()
    subparsers = parser.add_subparsers(required=True, dest="subparser")
    (serve,) = cmd_init()
    serve.subparser_init(subparsers)

    def fault(command):
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said):
                serve.validate(parser.parse_args(command[1:]))
        except SystemExit:
            return said.getvalue().strip()
        except (TypeError, ValueError) as error:
            return str(error)
        return None

    verdicts = [fault(command) for command in json.load(sys.stdin)]
    json.dump(verdicts, sys.stdout)


if __name__ == "__main__":
    main()
