"""A recorded run as OpenTelemetry spans, by the semantic conventions for generative AI.

Theory of operation
-------------------
The run becomes a span of the operation ``invoke_workflow``; each time one of its calls was under
way, a child of it: ``text_completion`` where the model took token ids, else ``chat``. They are made
from the journal after the fact, with the dates at which things happened, and go through the
official SDK to a collector (OTLP over HTTP) or to a file, one JSON object a line.

Rules
1. Names of attributes come from the installed conventions; what those do not name is under
   ``nlpu.``.
2. Prompts and results are not sent: the conventions make content an opt-in, and a journal holds it.
3. Ids are those that the run's requests had (``traceparent``), so a server's own spans are children
   of the calls that it was sent. A call that was under way in several lives has its id in the first
   of them.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpu.engines.origin import span_of, trace_of
from nlpu.errors import HostError, MissingPart, Usage
from nlpu.extras import adding
from nlpu.runtime.scheduler.budget import TOKENS_PER_NLOP
from nlpu.runtime.terminal.files import write_file
from nlpu.runtime.terminal.show.archive import Record
from nlpu.runtime.terminal.show.calltree import Call, calls_of
from nlpu.runtime.terminal.show.timeline import Flight, timeline_of

try:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from opentelemetry.sdk.trace.id_generator import IdGenerator
    from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as gen_ai
    from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
    from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
except ImportError as error:
    raise MissingPart(
        f"OpenTelemetry is not here ({error}); install it: {adding('otel')}"
    ) from error

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import Tracer

_BATCH = 512
_PATH = "/v1/traces"  # where collectors take spans; added to a URL that names no path
_NS = 1_000_000  # of a millisecond


class _Ids(IdGenerator):
    """Gives the ids of one run (rule 3): ``position`` says of which call, "" of the run itself."""

    def __init__(self, trace: str) -> None:
        self._trace, self._given = trace, Counter[str]()
        self.position = ""

    def generate_trace_id(self) -> int:
        return int(self._trace, 16)

    def generate_span_id(self) -> int:
        before = self._given[self.position]
        self._given[self.position] += 1
        return int(span_of(self._trace, self.position + f"#{before}" * bool(before)), 16)


def send(record: Record, where: str) -> int:
    """Send the run's spans to a collector's URL or write them to a file; gives their number.

    Raises Usage, HostError.
    """
    spans = spans_of(record)
    if "://" not in where:
        write_file(Path(where), "".join(span.to_json(indent=None) + "\n" for span in spans))
        return len(spans)
    if not where.startswith(("http://", "https://")):
        raise Usage(f"{where!r} is no collector's URL; use http://host:4318 or a file's name")
    path = "" if where.split("://", 1)[1].strip("/").count("/") else _PATH
    for name in ("opentelemetry", "urllib3"):  # one error says it; the log is for who wants it
        logging.getLogger(name).addHandler(logging.NullHandler())
    exporter = OTLPSpanExporter(endpoint=where.rstrip("/") + path)
    try:
        for start in range(0, len(spans), _BATCH):
            if exporter.export(spans[start : start + _BATCH]) is not SpanExportResult.SUCCESS:
                raise HostError(f"the collector at {where} did not take the spans; is it running?")
    finally:
        exporter.shutdown()  # type: ignore[no-untyped-call]
    return len(spans)


def spans_of(record: Record) -> list[ReadableSpan]:
    """The run's span last, before it those of its calls."""
    kept, ids = InMemorySpanExporter(), _Ids(trace_of(record))
    provider = TracerProvider(
        resource=Resource.create({"service.name": "nlpu"}), shutdown_on_exit=False, id_generator=ids
    )
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracer = provider.get_tracer("nlpu")
    flights = timeline_of(record).flights
    began = int(record.started_s * 1000)
    ended = max((_end_ms(flight) for flight in flights), default=began)
    whole = tracer.start_span(
        f"invoke_workflow {record.title}", start_time=began * _NS, attributes=_of_run(record)
    )
    inside, calls = set_span_in_context(whole), {call.position: call for call in calls_of(record)}
    for flight in flights:
        ids.position = flight.call.position
        _span(tracer, inside, record, flight, calls[flight.call.position])
    if record.status == "failed":
        whole.set_status(StatusCode.ERROR)
    whole.end(max(ended, began + int(record.seconds * 1000)) * _NS)
    return list(kept.get_finished_spans())


def _span(tracer: Tracer, inside: Context, record: Record, flight: Flight, call: Call) -> None:
    facts = dict(_of_call(record, flight, call))
    name = f"{facts[gen_ai.GEN_AI_OPERATION_NAME]} {facts[gen_ai.GEN_AI_REQUEST_MODEL]}"
    span = tracer.start_span(name, inside, SpanKind.CLIENT, facts, start_time=flight.date_ms * _NS)
    for at in flight.resent_ms:
        span.add_event("sent again", timestamp=(flight.date_ms + at - flight.start_ms) * _NS)
    if flight.ended == "failed":
        span.set_status(Status(StatusCode.ERROR, call.text))
    span.end(_end_ms(flight) * _NS)


def _end_ms(flight: Flight) -> int:
    return flight.date_ms + flight.end_ms - flight.start_ms


def _of_run(record: Record) -> dict[str, Any]:
    facts = {"nlpu.run": record.name, "nlpu.status": record.status}
    if record.origin:
        facts["nlpu.edited_from"] = record.origin
    return {
        gen_ai.GEN_AI_OPERATION_NAME: gen_ai.GenAiOperationNameValues.INVOKE_WORKFLOW.value,
        gen_ai.GEN_AI_WORKFLOW_NAME: record.title,
        **facts,
    }


def _of_call(record: Record, flight: Flight, call: Call) -> Iterator[tuple[str, Any]]:
    operations, outputs = gen_ai.GenAiOperationNameValues, gen_ai.GenAiOutputTypeValues
    header, op, cost = record.past.header, record.past.ops[flight.call.op], call.cost
    as_ids = header.get("can", {}).get("token_prompts", True)
    yield (
        gen_ai.GEN_AI_OPERATION_NAME,
        (operations.TEXT_COMPLETION if as_ids else operations.CHAT).value,
    )
    yield gen_ai.GEN_AI_PROVIDER_NAME, "nlpu"  # the conventions name no provider for own servers
    yield gen_ai.GEN_AI_REQUEST_MODEL, flight.call.identity.partition("|")[0]
    yield gen_ai.GEN_AI_REQUEST_MAX_TOKENS, round(flight.call.most.nlops * TOKENS_PER_NLOP)
    yield gen_ai.GEN_AI_OUTPUT_TYPE, (outputs.TEXT if op.result == "text" else outputs.JSON).value
    yield gen_ai.GEN_AI_PROMPT_NAME, op.name
    yield "nlpu.position", call.position
    yield "nlpu.ended", flight.ended
    if flight.ended in ("done", "failed"):
        yield gen_ai.GEN_AI_USAGE_INPUT_TOKENS, cost.prompt_tokens
        yield gen_ai.GEN_AI_USAGE_OUTPUT_TOKENS, cost.completion_tokens
        yield gen_ai.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS, cost.cached_tokens
        yield gen_ai.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS, cost.thinking_tokens
        yield "nlpu.queue_ms", int(cost.queue_s * 1000)
        yield "nlpu.waited_ms", cost.waited_ms
    if flight.ended == "failed":
        yield ERROR_TYPE, call.text.partition(":")[0]
