from tollgate.simulator.replica import Replica

KEY, OTHER = b"k" * 16, b"o" * 16


def test_a_replica_shows_a_charge_once_its_lag_has_passed() -> None:
    replica = Replica(60)
    replica.note(KEY, 100.0)
    assert not replica.shows(KEY, 101.9, 2.0)
    assert replica.shows(KEY, 102.0, 2.0)
    assert replica.shows(KEY, 100.0, 0.0)


def test_a_charge_that_is_older_than_any_lag_is_shown_and_forgotten() -> None:
    replica = Replica(60)
    replica.note(KEY, 100.0)
    replica.note(OTHER, 161.0)
    assert replica.shows(KEY, 161.0, 60.0)
    assert not replica.shows(OTHER, 161.0, 1.0)
    assert replica.shows(b"n" * 16, 5.0, 60.0), "charged before this program was started"
