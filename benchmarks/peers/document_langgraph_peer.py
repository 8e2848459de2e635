"""Questions about one document, as a LangGraph user writes them: a graph, all asked with abatch.

Prompts have the form of LangGraph's tutorial on retrieval: instruction, question, context, in one
message of the user. Yes or no is a structured output. ``text_first`` puts the context before the
question and the instruction behind both, as somebody does who knows of prefix caches.
"""

from __future__ import annotations

from typing import Any, TypedDict

from harness import Work, main
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel

TASK = (
    "You are an assistant for question-answering tasks. Use the following context to answer the "
    "question. Keep the answer to a few words."
)
ASK = TASK + "\nQuestion: {question}\nContext: {context}"
TEXT_FIRST = "Context: {context}\n\n" + TASK + "\nQuestion: {question}"


class YesNo(BaseModel):
    """The answer to a yes or no question."""

    yes: bool


class State(TypedDict):
    kind: str
    question: str
    answer: str


def graph(work: Work) -> Any:
    model = ChatOpenAI(
        model=work["model"],
        base_url=work["url"] + "/v1",
        api_key=work["key"],
        temperature=0,
        max_tokens=64,
        max_retries=2,
    )
    judging = model.with_structured_output(YesNo)
    ask = TEXT_FIRST if work.get("text_first") else ASK

    def prompt(state: State) -> str:
        return ask.format(question=state["question"], context=work["document"])

    async def judge(state: State) -> dict[str, str]:
        said = await judging.ainvoke(prompt(state))
        return {"answer": "yes" if said.yes else "no"}

    async def generate(state: State) -> dict[str, str]:
        return {"answer": (await model.ainvoke(prompt(state))).content}

    made = StateGraph(State)
    made.add_node("judge", judge)
    made.add_node("answer", generate)
    made.add_conditional_edges(START, lambda state: state["kind"], ["judge", "answer"])
    made.add_edge("judge", END)
    made.add_edge("answer", END)
    return made.compile()


async def do(work: Work) -> list[str]:
    asked = [{"kind": each["kind"], "question": each["question"]} for each in work["questions"]]
    states = await graph(work).abatch(asked, return_exceptions=True)
    return [state["answer"] if isinstance(state, dict) else repr(state) for state in states]


if __name__ == "__main__":
    main(do)
