from tollgate.simulator.health import HealthAllowance


def test_one_call_is_granted_in_each_interval() -> None:
    allowance = HealthAllowance(5)
    assert allowance.take(0)
    assert not allowance.take(4.999)
    assert allowance.take(5)
    assert not allowance.take(9.999)


def test_refused_calls_do_not_put_off_the_next() -> None:
    allowance = HealthAllowance(5)
    assert allowance.take(100)
    assert not any(allowance.take(100 + second) for second in range(5))
    assert allowance.take(105)
