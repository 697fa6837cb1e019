"""Conversations that break in the wild, by the number of their field report.

Every text stands in one message only, so that a prompt shows which messages were read.
"""

from __future__ import annotations

from .conversations import WEATHER_TOOL, Case, assistant, calls, developer, result, system, user

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
