"""New versions come, old ones go, and no request notices."""

import gc
import json
import shutil
import threading
import weakref

import pytest

ASK = {"instances": [1.0]}


def factor(client, path="/v1/models/vxm"):
    """What the model multiplies by."""
    status, body, _ = client.ask("POST", f"{path}:predict", json.dumps(ASK))
    return json.loads(body)["predictions"][0] if status == 200 else status


def states(client):
    """version -> state, and the error messages there are."""
    entries = json.loads(client.ask("GET", "/v1/models/vxm")[1])["model_version_status"]
    messages = [entry["status"]["error_message"] for entry in entries if entry["status"]["error_message"]]
    return {int(entry["version"]): entry["state"] for entry in entries}, messages


def test_no_request_fails_while_a_version_is_replaced(serve, base, eventually):
    client = serve(base(1, factor=1), workers=2, queue=30)
    model = client.server.app.models["vxm"]
    old = weakref.ref(model.find())
    answers, ended = [[] for _ in range(4)], threading.Event()

    def ask(mine):
        while not ended.is_set():
            mine.append(factor(client))

    threads = [threading.Thread(target=ask, args=(mine,)) for mine in answers]
    for thread in threads:
        thread.start()
    eventually(lambda: all(answers))
    base(2, factor=2)
    eventually(lambda: all(mine[-1] == 2.0 for mine in answers))
    ended.set()
    for thread in threads:
        thread.join()
    for mine in answers:
        # First the old version, then the new one, and never anything else.
        assert mine == sorted(mine) and set(mine) == {1.0, 2.0}
    assert states(client) == ({2: "AVAILABLE", 1: "END"}, [])
    gc.collect()
    assert old() is None


def test_a_request_that_runs_keeps_its_version(serve, base, gate, eventually):
    client = serve(base(1, factor=1), workers=2)
    running = gate(client)
    eventually(lambda: client.busy(1))
    # Once another request was answered by the worker that is left, the first has found its version.
    assert factor(client) == 1.0
    base(2, factor=2)
    eventually(lambda: factor(client) == 2.0)
    assert running.open() == (200, {"outputs": 1.0})


def test_a_version_that_does_not_load_is_passed_over_until_it_is_whole(serve, base, scalers, eventually):
    folder = base(1, factor=1)
    client = serve(folder)
    (folder / "2").mkdir()
    (folder / "2" / "saved_model.pb").write_bytes(b"no model")
    eventually(lambda: states(client)[0] == {1: "AVAILABLE", 2: "END"})
    assert states(client)[1]
    assert factor(client) == 1.0
    # Somebody copies into the folder, file after file.
    shutil.copytree(scalers / "x2", folder / "2", dirs_exist_ok=True)
    eventually(lambda: factor(client) == 2.0)


def test_a_version_that_is_taken_away_gives_way_to_the_one_before(serve, base, eventually):
    folder = base(1, factor=1)
    base(2, factor=2)
    client = serve(folder)
    assert factor(client) == 2.0
    (folder / "2").unlink()
    eventually(lambda: factor(client) == 1.0)
    # With nothing left, the last one stays.
    (folder / "1").unlink()
    eventually(lambda: not list(folder.iterdir()))
    client.server.app.models["vxm"].refresh()
    assert factor(client) == 1.0


def test_versions_of_labels_stay(serve, base, eventually):
    client = serve(base(1, factor=1), labels={"stable": 1})
    base(2, factor=2)
    eventually(lambda: factor(client) == 2.0)
    assert factor(client, "/v1/models/vxm/labels/stable") == 1.0
    assert factor(client, "/v1/models/vxm/versions/1") == 1.0
    assert factor(client, "/v1/models/vxm/labels/canary") == 400
    assert states(client)[0] == {1: "AVAILABLE", 2: "AVAILABLE"}


@pytest.mark.parametrize("versions, served", [("latest", {3}), ("all", {1, 2, 3}), ("1,3", {1, 3})])
def test_the_versions_that_were_asked_for_are_served(serve, base, versions, served):
    for number in (1, 2, 3):
        folder = base(number, factor=number)
    (folder / "notes").mkdir()
    client = serve(folder, versions=versions)
    for number in (1, 2, 3):
        expected = float(number) if number in served else 404
        assert factor(client, f"/v1/models/vxm/versions/{number}") == expected
    assert set(states(client)[0]) == served
