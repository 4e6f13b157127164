"""A stand-in for one provider of the Rinha benchmark, with faults on demand.

It shares no code with the product it tests, not even money and time: a mistake in one must not hide in the other.
`admission`, `book`, `faults`, `health`, `intermediary`, `money`, `moment`, `order`, `replica` and `state` do no I/O;
`memory` and `refusals` keep files; `api`, `admin` and `app` handle HTTP; `listener` owns the socket; `cli` is the entry
point.
"""
