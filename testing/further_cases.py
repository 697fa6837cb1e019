"""The shapes of conversations between and beside those of the field reports.

Every text stands in one message only, so that a prompt shows which messages were read.
"""

from __future__ import annotations

from .conversations import (
    WEATHER_TOOL,
    Case,
    assistant,
    calls,
    developer,
    parts,
    result,
    system,
    user,
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
