"""Links to the network zone that are lost, killed, cleared, refused by Alma, or made by two at once."""

import contextlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from alma_etl.inventory.waiting_titles import SqlWaitingTitles
from alma_etl.marc.iso2709 import to_iso2709
from alma_etl.remote.errors import RemoteRefused, RemoteUnauthorized
from tests.e2e.death import WorkerKilled
from tests.unit.bibs.conftest import Run
from tests.unit.bibs.network.conftest import linked, posts
from tests.unit.bibs.test_bib_imports import dying, new
from tests.unit.bibs.test_order_imports import PROFILES, gobi
from tests.unit.bibs.test_order_imports import lines as po_lines

pytestmark = pytest.mark.heavy


def test_of_two_imports_at_one_record_of_the_zone_one_links_it(imports, network):
    there = network.has(901, "035 __ $z (OCoLC)902")
    network.with_sru()
    imports.alma.settings(number_lag_s=3600)
    runs = [Run(imports, to_iso2709(new(number)), f"{number}.mrc") for number in (901, 902)]
    for run in runs:
        run.read()
        run.match()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda run: run.write(), runs))
    for run in runs:
        run.finish()
    assert sorted(run.outcomes[0] for run in runs) == ["created", "unchanged"]
    assert len({run.rows[0]["mms_id"] for run in runs}) == 1
    assert list(linked(imports).values()) == [there]


def test_a_record_that_was_matched_before_another_import_linked_its_title_is_of_that_title(imports, network):
    network.has(901, "035 __ $z (OCoLC)902")
    network.with_sru()
    imports.alma.settings(number_lag_s=3600)
    run = Run(imports, to_iso2709(new(902)), "first.mrc")
    run.read()
    run.match()
    there = imports.load(new(901)).rows[0]["mms_id"]
    run.write()
    run.finish()
    assert [(row["outcome"], row["mms_id"]) for row in run.rows] == [("unchanged", there)]


@pytest.mark.parametrize("lag", [0, 3600])
def test_a_lost_answer_links_nothing_twice(imports, network, lag):
    there = network.has(901)
    imports.alma.settings(number_lag_s=lag)
    imports.alma.faults(
        {"kind": "server_error", "method": "POST", "path": "from_nz", "applied": True, "first": 1}
    )
    run = imports.load(new(901))
    assert run.outcomes == ["unconfirmed" if lag else "created"]
    assert list(linked(imports).values()) == [there]
    soon = imports.load(new(901), name="b.mrc")
    assert soon.outcomes == ["unconfirmed" if lag else "unchanged"]
    imports.alma.settings(number_lag_s=0)
    run.match()
    run.write()
    run.finish()
    assert run.outcomes == ["created"]
    assert imports.load(new(901), name="c.mrc").outcomes == ["unchanged"]
    assert list(linked(imports).values()) == [there]


@pytest.mark.parametrize("after", ["linked", "created"])
def test_a_run_that_is_cleared_after_network_was_set_or_taken_away_makes_no_second_title(
    imports, network, after, monkeypatch
):
    there = network.has(901)
    network.profile() if after == "linked" else imports.profiles("profiles: {}")
    run = Run(imports, to_iso2709(new(901)) + to_iso2709(new(902)))
    run.read()
    run.match()
    with monkeypatch.context() as patch:
        name = "link_from_network" if after == "linked" else "create"
        real = getattr(imports.client.bibs, name)

        def deadly(*given, **options):
            real(*given, **options)
            raise WorkerKilled

        patch.setattr(imports.client.bibs, name, deadly)
        with pytest.raises(WorkerKilled):
            run.write()
    imports.profiles("profiles: {}") if after == "linked" else network.profile()
    run.read()
    run.match()
    run.write()
    run.finish()
    assert run.outcomes == ["created", "created"]
    assert imports.count() == 2
    assert list(linked(imports).values()) == ([there] if after == "linked" else [])


@pytest.mark.parametrize("first", ["network: nz", "network: null"])
def test_what_a_run_made_stays_so_when_it_is_cleared_with_another_network(imports, network, first):
    network.has(901)
    imports.profiles(f"profiles:\n  catalog: {{{first}}}\n")
    run = imports.load(new(901), new(902))
    made = [row["mms_id"] for row in run.rows]
    imports.profiles("profiles: {}") if first.endswith("nz") else network.profile()
    imports.alma.forget()
    run.read()
    run.match()
    run.write()
    run.finish()
    assert [(row["outcome"], row["mms_id"]) for row in run.rows] == [("created", each) for each in made]
    assert posts(imports) == []


def test_a_zone_that_does_not_answer_lets_nothing_be_created(imports, network):
    network.has(901)
    imports.alma.forget()
    network.faults({"kind": "server_error", "path": "other_system_id"})
    run = imports.load(new(901), new(902))
    assert run.outcomes == ["failed", "failed"]
    assert "could not be looked up in the network zone" in run.rows[0]["message"]
    assert posts(imports) == []
    network.heal()
    network.with_sru()
    network.faults({"kind": "server_error", "path": "/view/sru/"})
    again = imports.load(new(901), new(902), name="b.mrc")
    assert again.outcomes == ["created", "created"]
    assert [row["reasons"] for row in again.rows] == ["NETWORK;NO_SRU", "NO_SRU"]


def test_a_zone_whose_key_is_refused_meanwhile_ends_the_run_with_nothing_written(imports, network):
    network.has(901)
    run = Run(imports, to_iso2709(new(901)) + to_iso2709(new(902)))
    run.read()
    network.faults({"kind": "refuse", "status": 401, "code": "UNAUTHORIZED", "message": "Invalid API Key"})
    with pytest.raises(RemoteUnauthorized):
        run.match()
    run.finish({"match": "failed"})
    assert run.outcomes == ["failed", "failed"]
    assert (imports.count(), linked(imports)) == (0, {})
    network.heal()
    run.whole()
    assert run.outcomes == ["created", "created"]


def test_a_record_of_the_zone_that_is_gone_is_not_linked(imports, network):
    there = network.has(901)
    run = Run(imports, to_iso2709(new(901)))
    run.read()
    run.match()
    network.delete(there)
    run.write()
    run.finish()
    assert run.outcomes == ["failed"]
    assert f"{there} could not be linked" in run.rows[0]["message"]
    assert imports.count() == 0
    assert imports.load(new(901), name="b.mrc").outcomes == ["created"]  # what it claimed is free again


def test_a_worker_killed_at_any_write_links_nothing_twice(imports, network, monkeypatch):
    for dies_at in range(1, 4):
        there = network.has(900 + dies_at)
        run = Run(imports, to_iso2709(new(900 + dies_at)), f"{dies_at}.mrc")
        run.read()
        run.match()
        with monkeypatch.context() as patch:
            dying(patch, imports, dies_at, applied=True)
            with contextlib.suppress(WorkerKilled):
                run.write()
        imports.client = imports.new_client()
        run.write()
        run.finish()
        assert list(linked(imports).values()).count(there) <= 1
        # It died between the note that it is sent and the call, or was seen to its end.
        assert run.outcomes == ["created" if there in linked(imports).values() else "unconfirmed"]
        assert imports.load(new(900 + dies_at), name=f"{dies_at} again.mrc").outcomes == ["unchanged"] or (
            run.outcomes == ["unconfirmed"]
        )


LOST = {"kind": "server_error", "method": "POST", "path": "from_nz", "applied": True, "first": 1}


@pytest.mark.parametrize(
    "then", ["", ", on_match: skip", ", on_no_match: skip, match: [mms_id]", ", match: [mms_id]"]
)
def test_a_lost_link_is_adopted_with_its_order_by_a_run_that_is_cleared_without_network(
    imports, network, then
):
    """Also where the title matches by none of its numbers then."""
    there = network.has(901)
    settings = PROFILES.replace("  gobi:\n", "  catalog: {network: nz, awaits_full_record: true}\n  gobi:\n")
    imports.profiles(settings)
    imports.alma.settings(number_lag_s=3600)
    imports.alma.faults(LOST)
    order = gobi(901, "R1")
    order["001"].data = there
    run = Run(imports, to_iso2709(order), profile="gobi")
    run.whole()
    assert run.outcomes == ["unconfirmed"]
    imports.alma.settings(number_lag_s=0)
    imports.profiles(settings.replace("network: nz, ", f"network: null{then}, "))
    run.whole()
    assert run.outcomes == ["created"], run.rows
    title = run.rows[0]["mms_id"]
    assert linked(imports) == {title: there}
    assert {name: line.mms_id for name, line in po_lines(imports).items()} == {"R1": title}
    waiting = SqlWaitingTitles(imports.store, f"{imports.client.host} 01ZZ_INST SANDBOX")
    assert waiting.waiting([title]) == set()
    waiting.close()
    imports.alma.forget()
    run.whole()
    assert (run.outcomes, posts(imports)) == (["created"], [])


def test_what_somebody_linked_between_the_look_and_the_link_that_alma_refuses_is_the_title(
    imports, network, monkeypatch
):
    network.has(901)
    run = Run(imports, to_iso2709(new(901)))
    run.read()
    run.match()
    theirs = []

    def refused(nz_mms_id):
        theirs.append(network.link_by_staff(nz_mms_id))
        raise RemoteRefused("POST /bibs", 400, "402210", "Failed to create new bib: it is linked already")

    monkeypatch.setattr(imports.client.bibs, "link_from_network", refused)
    run.write()
    run.finish()
    assert [(row["outcome"], row["mms_id"]) for row in run.rows] == [("unchanged", theirs[0])]
    assert imports.load(new(901), name="b.mrc").rows[0]["mms_id"] == theirs[0]
    assert len(linked(imports)) == len(theirs) == 1


def test_a_title_of_which_no_answer_came_is_not_made_again_by_a_run_that_is_cleared_with_other_numbers(
    imports,
):
    """Rows are cut into chunks by their numbers: what was sent stays where this is noted."""
    imports.with_sru()
    imports.alma.settings(number_lag_s=3600, sru_lag_s=3600)
    imports.alma.faults({**LOST, "path": "/bibs"})
    run = Run(imports, to_iso2709(new(901, "022 __ $a 0317-8471")))
    run.whole()
    assert (run.outcomes, imports.count()) == (["unconfirmed"], 1)
    imports.profiles("profiles:\n  catalog: {match: [issn]}\n")
    run.whole()
    assert (run.outcomes, imports.count()) == (["unconfirmed"], 1)
    imports.alma.settings(number_lag_s=0, sru_lag_s=0)
    run.whole()
    assert (run.outcomes, imports.count()) == (["created"], 1)
