"""The programs as a LangGraph user writes them: a StateGraph, ChatOpenAI, ``abatch`` for a fleet.

An agent is a loop of one node with a conditional edge. An uneven graph is a node for each call and
an edge for each dependence; LangGraph runs it in supersteps, each of which waits for its slowest
node. No checkpointer, no tracing, no callbacks: that is the fastest way to run it.
"""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

from harness import Work, main, messages
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph


class Agent(TypedDict):
    transcript: str
    turn: int
    texts: list[str]
    tokens: list[int]


class Notes(TypedDict):
    said: Annotated[dict[int, str], operator.or_]


def chat(work: Work, **more: Any) -> Any:
    """Make the client of the model; ``more`` goes with each request."""
    return ChatOpenAI(
        model=work["model"],
        base_url=work["url"] + "/v1",
        api_key=work["key"],
        temperature=0,
        max_retries=2,
        **more,
    )


async def fleet(work: Work) -> None:
    model = chat(work, extra_body=work["extra_body"])

    async def think(agent: Agent) -> dict[str, Any]:
        turn, texts = agent["turn"], agent["texts"]
        prompt = messages(work, transcript=agent["transcript"])
        reply = await model.ainvoke(prompt, max_tokens=agent["tokens"][turn])
        grown = [agent["transcript"], reply.content.strip(), *texts[turn + 1 : turn + 2]]
        return {"transcript": "\n".join(grown), "turn": turn + 1}

    graph = StateGraph(Agent)
    graph.add_node("think", think)
    graph.add_edge(START, "think")
    graph.add_conditional_edges(
        "think", lambda agent: "think" if agent["turn"] < len(agent["texts"]) else END
    )
    compiled = graph.compile()
    await compiled.abatch(
        [{"transcript": agent["texts"][0], "turn": 0, **agent} for agent in work["agents"]]
    )


async def uneven(work: Work) -> None:
    model = chat(work, extra_body=work["extra_body"])

    def node(number: int, spec: dict[str, Any]) -> Any:
        async def note(notes: Notes) -> dict[str, Any]:
            before = "\n".join(notes["said"][parent] for parent in spec["parents"])
            prompt = messages(work, text=spec["text"], before=before)
            reply = await model.ainvoke(prompt, max_tokens=spec["tokens"])
            return {"said": {number: reply.content.strip()}}

        return note

    graph = StateGraph(Notes)
    read = {parent for spec in work["nodes"] for parent in spec["parents"]}
    for number, spec in enumerate(work["nodes"]):
        graph.add_node(f"n{number}", node(number, spec))
        parents = [f"n{parent}" for parent in spec["parents"]]
        graph.add_edge(parents or START, f"n{number}")
        if number not in read:
            graph.add_edge(f"n{number}", END)
    await graph.compile().ainvoke({"said": {}}, {"recursion_limit": len(work["nodes"]) + 2})


async def do(work: Work) -> None:
    await (fleet(work) if "agents" in work else uneven(work))


if __name__ == "__main__":
    main(do)
