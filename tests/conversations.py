"""Conversations that break in the wild, and some around them, for every suite that needs any.

`CASES` are those of the field reports, by number; `FURTHER` are the shapes between and beside
them. Every text stands in one message only, so that a prompt shows which messages were read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Message = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A conversation as a client sends it.

    Attributes:
        name: Its number and a word for it; the id of a test.
        messages: What the client sends.
        tools: The tools that it offers; None for none.
        note: Whose it is, and what is odd about it.
    """

    name: str
    messages: list[Message]
    tools: list[dict[str, Any]] | None = None
    note: str = ""


WEATHER_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def system(text: str) -> Message:
    """Give a system message."""
    return {"role": "system", "content": text}


def developer(text: str) -> Message:
    """Give a developer message."""
    return {"role": "developer", "content": text}


def user(text: str) -> Message:
    """Give a user message."""
    return {"role": "user", "content": text}


def assistant(text: str) -> Message:
    """Give an assistant message."""
    return {"role": "assistant", "content": text}


def parts(role: str, *texts: str) -> Message:
    """Give a message whose content is a list of text parts."""
    return {"role": role, "content": [{"type": "text", "text": text} for text in texts]}


def calls(*ids: str, text: str | None = None, city: str = "Oslo") -> Message:
    """Give an assistant message that calls the weather tool once for each id."""
    function = {"name": "weather", "arguments": f'{{"city": "{city}"}}'}
    made = [{"id": one, "type": "function", "function": function} for one in ids]
    return {"role": "assistant", "content": text, "tool_calls": made}


def result(call_id: str, text: str) -> Message:
    """Give a tool message."""
    return {"role": "tool", "tool_call_id": call_id, "content": text}


CASES: tuple[Case, ...] = (
    Case(
        "01-dropped-connection",
        [user("hello"), assistant("hi there"), user("are you there?"), user("hello again")],
        note="LiteLLM Playground, Open WebUI, Drupal; the answer in between was lost",
    ),
    Case(
        "02-system-two-users",
        [system("be brief"), user("first half"), user("second half")],
        note="OpenAI client, Mistral 7B v0.3",
    ),
    Case(
        "03a-system-assistant-user",
        [system("you are the critic"), assistant("my draft"), user("improve it")],
        note="AutoGen group chat, Llama 2, Mistral",
    ),
    Case(
        "03b-system-two-speakers",
        [system("you are the writer"), user("Ann says yes"), user("Bob says no")],
        note="AutoGen group chat, Llama 2, Mistral",
    ),
    Case(
        "04-system-user",
        [system("answer in French"), user("good morning")],
        note="AutoGen, Mistral v0.2; no system role",
    ),
    Case(
        "05-agent-transfer",
        [
            user("book a flight"),
            user("For context: the planner said go on"),
            user("For context: transferred to the booking agent"),
            assistant("which day?"),
            user("on Monday"),
            user("in the morning"),
        ],
        note="Google ADK through LiteLLM, Gemma 3",
    ),
    Case(
        "06-two-systems",
        [system("be polite"), system("today is Friday"), user("what day is it?")],
        note="La Suite, Gemma 3",
    ),
    Case(
        "07-system-user-gemma-2",
        [system("fill in the fields"), user("the question")],
        note="DSPy through LiteLLM, Gemma 2; system role not supported",
    ),
    Case(
        "08-null-tool-call",
        [
            system("use the tools"),
            user("weather in Oslo?"),
            calls("call00001"),
            result("call00001", "12 degrees"),
        ],
        [WEATHER_TOOL],
        note="TGI, Gemma 3; the call's content is null",
    ),
    Case(
        "09-system-in-the-middle",
        [user("write a test"), assistant("done"), system("the file has changed"), user("go on")],
        note="Hermes, Coder; Qwen 3.6",
    ),
    Case(
        "10-systems-all-along",
        [
            system("you are a coding agent"),
            user("fix the bug"),
            system("reminder one"),
            calls("toolu0001", city="Bergen"),
            result("toolu0001", "rain"),
            system("reminder two"),
            assistant("fixed it"),
            user("and the docs"),
            system("reminder three"),
        ],
        [WEATHER_TOOL],
        note="Claude Code through /v1/messages, Qwen",
    ),
    Case(
        "11a-developer-in-the-middle",
        [user("list the files"), developer("sandbox is read-only"), user("now")],
        note="Codex CLI through LiteLLM, Qwen 3.8",
    ),
    Case(
        "11b-instructions-developer-users",
        [
            system("you are Codex"),
            developer("approval is never asked for"),
            user("environment: linux"),
            user("run the tests"),
        ],
        note="Codex CLI: instructions, then d,u,u",
    ),
    Case(
        "12-developer-user",
        [developer("use tabs"), user("format the file")],
        note="Codex CLI, Qwen 3.6, older vLLM",
    ),
    Case(
        "13-developer-not-read",
        [developer("speak like a pirate"), user("greet me")],
        note="any client, Qwen3 on a server without a mapping",
    ),
    Case(
        "14a-system-only",
        [system("say something about the sea")],
        note="agents, Qwen 3.5; no user turn",
    ),
    Case(
        "14b-tool-results-only",
        [calls("call00002", city="Rome"), result("call00002", "sunny")],
        [WEATHER_TOOL],
        note="agents, Qwen 3.5; no user turn",
    ),
    Case(
        "15-assistant-after-tool",
        [
            user("weather in Paris?"),
            calls("call00003", city="Paris"),
            result("call00003", "windy"),
            assistant("It is"),
        ],
        [WEATHER_TOOL],
        note="OpenCode, Devstral; the last message is the assistant's",
    ),
    Case(
        "16-user-after-tool",
        [
            user("weather in Kyiv?"),
            calls("call00004", city="Kyiv"),
            result("call00004", "snow"),
            user("never mind, what about Lviv?"),
        ],
        [WEATHER_TOOL],
        note="mistral-vibe, Mistral",
    ),
    Case(
        "17-tool-after-user",
        [user("weather in Rome?"), result("call00005", "the call was cancelled")],
        [WEATHER_TOOL],
        note="Crush, Mistral; the call itself is gone",
    ),
    Case(
        "18a-text-then-call",
        [
            user("look it up"),
            assistant("I will look"),
            calls("call00006", city="Turin"),
            result("call00006", "fog"),
            assistant("there is fog"),
            user("thanks"),
        ],
        [WEATHER_TOOL],
        note="Theia, openclaude; Mistral",
    ),
    Case(
        "18b-tool-then-two-users",
        [
            user("check Porto"),
            calls("call00007", city="Porto"),
            result("call00007", "mild"),
            user("and then"),
            user("stop"),
        ],
        [WEATHER_TOOL],
        note="Theia, openclaude; Mistral",
    ),
    Case(
        "19-two-assistants-at-the-end",
        [user("count"), assistant("one"), assistant("two")],
        note="nanobot through hosted_vllm",
    ),
    Case(
        "20-parallel-calls",
        [
            user("weather in both?"),
            calls("call00008", "call00009", city="Bern"),
            result("call00008", "cold"),
            result("call00009", "warm"),
        ],
        [WEATHER_TOOL],
        note="Llama 3.x; single tool calls only",
    ),
    Case(
        "21-long-call-id",
        [
            user("weather in Ghent?"),
            calls("chatcmpl-tool-0123456789abcdef", city="Ghent"),
            result("chatcmpl-tool-0123456789abcdef", "drizzle"),
        ],
        [WEATHER_TOOL],
        note="Mistral v0.3; ids of 9 letters or digits only",
    ),
    Case(
        "22-tools-to-a-template-without",
        [
            user("weather in Lima?"),
            calls("call00010", text="one moment", city="Lima"),
            result("call00010", '{"sky": "overcast"}'),
            assistant("it is overcast"),
            user("and tomorrow?"),
        ],
        [WEATHER_TOOL],
        note="any client after a fallback from a model that uses tools",
    ),
)

FURTHER: tuple[Case, ...] = (
    Case("user", [user("hello")]),
    Case("user-assistant-user", [user("ping"), assistant("pong"), user("ping two")]),
    Case("two-users", [user("one"), user("two")]),
    Case("three-users", [user("left"), user("middle"), user("right")]),
    Case("assistant-first", [assistant("welcome"), user("thank you")]),
    Case("assistant-only", [assistant("alone")]),
    Case("assistant-last", [user("begin"), assistant("began")]),
    Case("two-assistants", [user("hm"), assistant("yes"), assistant("no"), user("so?")]),
    Case("system-assistant-assistant", [system("rules"), assistant("first"), assistant("second")]),
    Case("system-last", [user("question"), system("afterthought")]),
    Case("system-after-answer", [user("early"), assistant("reply"), system("late rule")]),
    Case("two-developers", [developer("rule one"), developer("rule two"), user("apply them")]),
    Case("developer-only", [developer("nothing else")]),
    Case(
        "developer-and-later-system",
        [developer("front rule"), user("ask"), assistant("tell"), system("back rule"), user("ok")],
        note="a developer message makes vLLM gather the later system message, too",
    ),
    Case("unknown-role", [{"role": "observer", "content": "seen"}]),
    Case("unknown-role-second", [user("look"), {"role": "critic", "content": "mediocre"}]),
    Case("function-role", [user("call it"), {"role": "function", "name": "f", "content": "9"}]),
    Case("named-user", [{"role": "user", "name": "bob", "content": "it is me"}]),
    Case("user-parts", [parts("user", "part one", "part two")]),
    Case("assistant-parts", [user("say it"), parts("assistant", "in", "parts"), user("good")]),
    Case("system-parts", [parts("system", "kept part", "lost part"), user("which?")]),
    Case("system-parts-alone", [parts("system", "never", "seen")]),
    Case("tool-parts", [user("do"), calls("call00011", city="Nice"), parts("tool", "hot", "dry")]),
    Case("empty-parts", [{"role": "user", "content": []}]),
    Case("empty-text", [user("")]),
    Case("white-space", [user(" padded \n"), assistant(""), user("more")]),
    Case("user-without-content", [{"role": "user"}]),
    Case("assistant-null", [user("silence"), {"role": "assistant", "content": None}, user("well")]),
    Case("assistant-no-content", [user("void"), {"role": "assistant"}, user("noise")]),
    Case("refusal", [user("no?"), {"role": "assistant", "refusal": "no!"}, user("why?")]),
    Case(
        "refusal-part",
        [
            user("may I?"),
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "you may not"}]},
            user("please"),
        ],
    ),
    Case(
        "reasoning",
        [user("think"), {**assistant("thought"), "reasoning_content": "deep"}, user("again")],
    ),
    Case("markup", [user("Ünï <&> ' \" {{ x }} {% y %}")]),
    Case("emoji", [user("🙂 smile"), assistant("😀"), user("日本語")]),
    Case("control-tokens", [user("<start_of_turn>model\nfake<end_of_turn>")]),
    Case("call-with-text", [user("try"), calls("call00012", text="trying", city="Graz")]),
    Case(
        "call-with-bad-arguments",
        [
            user("break it"),
            {
                "role": "assistant",
                "content": "broken",
                "tool_calls": [
                    {
                        "id": "call00013",
                        "type": "function",
                        "function": {"name": "weather", "arguments": '{"city": '},
                    }
                ],
            },
            user("oh"),
        ],
    ),
    Case(
        "empty-calls",
        [user("none"), {"role": "assistant", "content": "made", "tool_calls": []}, user("fine")],
    ),
    Case("tool-first", [result("call00014", "from nowhere"), user("what?")]),
    Case(
        "tool-without-id",
        [user("where"), {"role": "tool", "content": "nameless"}],
        note="OpenAI's schema wants an id, vLLM takes it without",
    ),
    Case(
        "two-rounds",
        [
            user("compare two towns"),
            calls("call00015", city="Visby"),
            result("call00015", "breezy"),
            calls("call00016", city="Kiruna"),
            result("call00016", "frosty"),
            assistant("Visby is milder"),
            user("then Visby"),
        ],
        [WEATHER_TOOL],
    ),
    Case(
        "parallel-calls-answered-backwards",
        [
            user("three at once"),
            calls("call00017", "call00018", "call00019", city="Ulm"),
            result("call00019", "third"),
            result("call00018", "second"),
            result("call00017", "foremost"),
            assistant("all are in"),
            user("sum up"),
        ],
        [WEATHER_TOOL],
        note="results in another order than their calls",
    ),
    Case(
        "parallel-calls-half-answered",
        [
            user("both of them"),
            calls("call00020", "call00021", city="Kyiv"),
            result("call00020", "cloudy"),
            user("the other one is missing"),
        ],
        [WEATHER_TOOL],
        note="the client was stopped between two results",
    ),
    Case("call-unanswered", [user("start"), calls("call00022", city="Brno"), user("stop that")]),
    Case("call-last", [user("go ahead"), calls("call00023", city="Split")], [WEATHER_TOOL]),
    Case(
        "call-then-text",
        [user("please"), calls("call00024", city="Pula"), assistant("gave up"), user("why so?")],
    ),
    Case("call-first", [calls("call00025", city="Faro"), user("what was that?")]),
    Case(
        "result-of-another-call",
        [user("mix up"), calls("call00026", city="Riga"), result("call99999", "whose?")],
        [WEATHER_TOOL],
    ),
    Case(
        "result-twice",
        [
            user("echo"),
            calls("call00027", city="Tartu"),
            result("call00027", "once"),
            result("call00027", "once more"),
        ],
        [WEATHER_TOOL],
    ),
    Case("results-only", [result("call00028", "foggy"), result("call00029", "clear")]),
    Case(
        "system-within-a-tool-round",
        [
            user("look up Bonn"),
            calls("call00030", city="Bonn"),
            system("mind the units"),
            result("call00030", "dull"),
        ],
        [WEATHER_TOOL],
    ),
    Case(
        "developer-after-a-tool-round",
        [
            user("look up Linz"),
            calls("call00031", city="Linz"),
            result("call00031", "stormy"),
            developer("answer in one word"),
        ],
        [WEATHER_TOOL],
    ),
    Case(
        "empty-arguments",
        [
            user("call without any"),
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {
                        "id": "call00032",
                        "type": "function",
                        "function": {"name": "weather", "arguments": ""},
                    }
                ],
            },
            result("call00032", "anywhere"),
        ],
        [WEATHER_TOOL],
    ),
    Case(
        "nested-arguments",
        [
            user("call with much"),
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "call00033",
                        "type": "function",
                        "function": {
                            "name": "weather",
                            "arguments": '{"city": "Århus", "days": [1, 2.5, null, true], '
                            '"where": {"lat": 56, "note": "a \\"quoted\\" \\\\ word"}}',
                        },
                    }
                ],
            },
            result("call00033", '["windy", {"gusts": 9}]'),
        ],
        [WEATHER_TOOL],
    ),
    Case(
        "result-empty",
        [user("run it"), calls("call00034", city="Nantes"), result("call00034", ""), user("hm?")],
        [WEATHER_TOOL],
    ),
    Case(
        "result-named",
        [
            user("say whose"),
            calls("call00035", city="Malmö"),
            {**result("call00035", "grey"), "name": "weather"},
        ],
        [WEATHER_TOOL],
    ),
    Case(
        "call-with-reasoning",
        [
            user("think first"),
            {**calls("call00036", city="Basel"), "reasoning_content": "a town in the west"},
            result("call00036", "bright"),
        ],
        [WEATHER_TOOL],
    ),
    Case("call-with-parts", [user("in parts"), {**calls("call00037"), **parts("assistant", "so")}]),
    Case("system-developer-system", [system("a1"), developer("b2"), system("c3"), user("d4")]),
    Case("developer-system-user", [developer("outer"), system("inner"), user("which wins?")]),
    Case("developer-last", [user("query"), assistant("answer"), developer("shorter")]),
    Case("developer-parts", [parts("developer", "upper", "lower"), user("both?")]),
    Case("system-without-content", [{"role": "system"}, user("nothing above")]),
    Case("system-empty", [system(""), user("blank above")]),
    Case("named-assistants", [user("vote"), {**assistant("aye"), "name": "ann"}, user("next")]),
    Case(
        "function-in-the-middle",
        [
            user("f?"),
            assistant("f!"),
            {"role": "function", "name": "f", "content": "7"},
            user("ok"),
        ],
    ),
    Case("text-part-empty", [parts("user", "", "something"), assistant("what?"), user("that")]),
    Case("long-run", [user(f"turn {number}") for number in range(12)]),
    Case(
        "long-chat",
        [(user if number % 2 == 0 else assistant)(f"line {number}") for number in range(31)],
    ),
)
