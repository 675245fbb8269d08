"""The notebook that trains and serves runs from its first cell to its last, and shows what its text promises."""


def test_a_network_is_trained_exported_and_answers_through_the_server(executed, tmp_path):
    cells = executed("train_and_serve")
    assert (tmp_path / "model" / "best.keras").exists()
    assert (tmp_path / "served" / "vxm" / "1" / "saved_model.pb").exists()
    assert cells[-1].outputs[-1].data["text/plain"] == "((32, 32, 32), (32, 32, 32, 1, 3))"
