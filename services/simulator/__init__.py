"""A stand-in for one payment processor of the Rinha de Backend 2025, with faults that can be switched on.

It shares no code with the gateway it is used to test, not even money and time: a mistake in one must not hide in the
other. `book`, `faults`, `gate`, `health`, `intermediary`, `money`, `moment`, `order`, `replica` and `state`
are pure; `memory` and `refusals` keep files; `desk`, `admin` and `app` speak HTTP; `listener` owns the socket; `cli`
starts it all.
"""
