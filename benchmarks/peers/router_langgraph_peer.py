"""Agents and documents behind a router (``benchmarks/router.py``), as a LangGraph user writes them.

An agent is a loop of one node with a conditional edge; all agents run with ``abatch``, and beside
them all questions. A document stands before its question and the instruction behind both, as
somebody writes it who knows of prefix caches. LangGraph tells a router nothing.
"""

from __future__ import annotations

import asyncio
from typing import Any, TypedDict

from harness import Work, main, messages
from langgraph.graph import END, START, StateGraph
from langgraph_peer import chat


class Agent(TypedDict):
    story: str
    turn: int


class Question(TypedDict):
    prompt: str
    answer: str


def agents(work: Work) -> Any:
    model, news = chat(work, max_tokens=work["turn_tokens"]), work["news"]

    async def go_on(agent: Agent) -> dict[str, Any]:
        turn = agent["turn"]
        reply = await model.ainvoke(messages(work, story=agent["story"]))
        grown = [agent["story"], reply.content.strip(), *news[turn : turn + 1]]
        return {"story": "\n".join(grown), "turn": turn + 1}

    graph = StateGraph(Agent)
    graph.add_node("go_on", go_on)
    graph.add_edge(START, "go_on")
    graph.add_conditional_edges(
        "go_on", lambda agent: "go_on" if agent["turn"] <= len(news) else END
    )
    return graph.compile()


def questions(work: Work) -> Any:
    model = chat(work, max_tokens=work["answer_tokens"])

    async def find(state: Question) -> dict[str, str]:
        return {"answer": (await model.ainvoke(state["prompt"])).content}

    graph = StateGraph(Question)
    graph.add_node("find", find)
    graph.add_edge(START, "find")
    graph.add_edge("find", END)
    return graph.compile()


async def do(work: Work) -> None:
    steps = {"recursion_limit": len(work["news"]) + 3}
    stories = [{"story": story, "turn": 0} for story in work["stories"]]
    asked = [
        {"prompt": f"{text}\n\n{work['find']}\n{question}"}
        for question in work["questions"]
        for text in work["documents"]
    ]
    acting, asking = agents(work), questions(work)
    await asyncio.gather(acting.abatch(stories, steps), asking.abatch(asked))


if __name__ == "__main__":
    main(do)
