"""Subscriptions: what is asked for again in a new session, and from which epoch on."""

from mdsdaemon.clients.subscriptions import CEPH_SUBSCRIBE_ONETIME, SubItem, Subscriptions


def test_want_is_new_until_sent_and_then_known() -> None:
    subs = Subscriptions()
    assert subs.want("mdsmap", 0)
    assert not subs.want("mdsmap", 0)
    assert subs.get_subs() == {"mdsmap": SubItem(0)}
    subs.renewed(1.0)
    assert not subs.have_new()
    assert not subs.want("mdsmap", 0)
    assert subs.want("mdsmap", 5)


def test_got_moves_the_start_so_that_a_new_session_continues() -> None:
    subs = Subscriptions()
    subs.want("osdmap", 10)
    subs.renewed(0.0)
    subs.got("osdmap", 12)
    subs.got("osdmap", 11)  # older than what came already: nothing moves back
    assert subs.reload()
    assert subs.get_subs() == {"osdmap": SubItem(13)}


def test_one_time_subscription_ends_with_its_map() -> None:
    subs = Subscriptions()
    subs.want("osdmap", 10, CEPH_SUBSCRIBE_ONETIME)
    subs.renewed(0.0)
    subs.got("osdmap", 9)
    assert "osdmap" in subs.sent
    subs.got("osdmap", 10)
    assert not subs.reload()


def test_what_is_wanted_anew_wins_over_what_was_sent() -> None:
    subs = Subscriptions()
    subs.want("osdmap", 1)
    subs.renewed(0.0)
    subs.want("osdmap", 7)
    assert subs.reload()
    assert subs.get_subs() == {"osdmap": SubItem(7)}
    subs.renewed(0.0)
    assert subs.sent == {"osdmap": SubItem(7)}


def test_inc_want_only_goes_forward() -> None:
    subs = Subscriptions()
    assert subs.inc_want("osdmap", 5)
    assert not subs.inc_want("osdmap", 5)
    subs.renewed(0.0)
    assert not subs.inc_want("osdmap", 4)
    assert subs.inc_want("osdmap", 6)


def test_unwant_forgets() -> None:
    subs = Subscriptions()
    subs.want("mgrmap", 0)
    subs.renewed(0.0)
    subs.unwant("mgrmap")
    assert not subs.reload()


def test_renewal_only_for_monitors_that_ask_for_it() -> None:
    subs = Subscriptions()
    subs.want("mdsmap", 0)
    subs.renewed(100.0)
    assert not subs.need_renew(10_000.0)
    subs.acked(300)
    assert not subs.need_renew(249.0)
    assert subs.need_renew(251.0)
