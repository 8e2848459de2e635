"""A budget that ends a run, and a second life that pays only for what is missing.

    python examples/stop_and_resume.py                          # both lives, from Python
    NLPU_ENGINE=scripted python examples/stop_and_resume.py     # tries the wiring

Or from a terminal, where each run is journaled anyway:

    nlpu run examples/stop_and_resume.py --calls 2     # exit code 3, and the command that goes on
    nlpu resume RUN --calls 9

What a call may take is set aside before it is sent, so no run spends more than its budget. Stopped
so, by Ctrl-C or by a kill, a run is resumed by running its program again: what was answered is in
the journal and is met there. The second life prints 5 calls, 2 of them from the journal.
"""

from nlpu import Budget, Computer, Value, nlop

COUNTRIES = ("Japan", "Italy", "Egypt", "Peru", "Chad")


@nlop(max_tokens=24, at_limit="trim")
def capital(country: str) -> str:
    """What is the capital of the country?"""


def stop_and_resume() -> dict[str, Value[str]]:
    """The capitals of five countries, five calls."""
    return {country: capital(country) for country in COUNTRIES}


if __name__ == "__main__":
    with Computer(run_dir=".nlpu/runs") as computer:
        run = computer.run(stop_and_resume, budget=Budget(calls=2))
        print(f"{run.status}: {run.error}")
        run = computer.resume(run.name, stop_and_resume, budget=Budget(calls=9)).wait()
        print(f"{run.status}: {run.receipt.calls} calls, {run.receipt.reused} known from before")
        for country, city in run.result.items():
            print(f"{country}: {city}")
