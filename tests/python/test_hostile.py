"""A short run of what `cargo xtask prove --only hostile` does at length."""

import hostile_calls
import hostile_threads


def test_hostile_calls():
    hostile_calls.main(20_000)


def test_arguments_that_call_back_from_many_threads():
    hostile_threads.main(1_000)
