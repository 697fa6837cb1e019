"""Many conversations in one run: files of them read, asked, repaired and checked.

    formats/     the lines of a file as requests
    sending/     requests to a proxy or a vLLM, bounded, tried again
    journal.py   what was answered, on the disk at once
    run.py       a file's requests from the reader to the output

Nothing here imports LiteLLM.
"""
