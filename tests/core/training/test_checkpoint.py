import os
import pickle

import pytest
import torch
from toyflow import ToyFlow

from flowsuite.core.training.checkpoint import (
    CheckpointError,
    build_module,
    instantiate,
    load_module,
    plain,
    read_checkpoint,
    save_flow_checkpoint,
    save_module,
)

MODULE = "flowsuite.core.training.module.FlowModule"
FLOW = {
    "class_path": "flowsuite.images.glow.Glow",
    "init_args": {"image_shape": (1, 4, 4), "levels": 1, "steps": 1, "width": 4},
}
ALLOW = ["toyflow"]


def toy(**options) -> dict:
    return {"flow": {"class_path": "toyflow.ToyFlow", "init_args": {"noise": False, **options}}}


class Payload:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (os.mkdir, (self.path,))


def test_module_round_trip(tmp_path):
    module = build_module(MODULE, toy(), ALLOW)
    x = torch.randn(8, 4)
    module.flow.initialize(x)
    save_module(tmp_path / "a.ckpt", module)
    again = load_module(tmp_path / "a.ckpt", allow=ALLOW)
    assert isinstance(again.flow, ToyFlow) and not again.training and again.flow_initialized
    torch.testing.assert_close(again(x), module(x), rtol=0, atol=0)
    assert again.config == module.config
    assert os.listdir(tmp_path) == ["a.ckpt"]


def test_imported_flow(tmp_path):
    flow = build_module(MODULE, {"flow": FLOW}).flow
    save_flow_checkpoint(tmp_path / "a.ckpt", FLOW["class_path"], FLOW["init_args"], flow.state_dict())
    module = load_module(tmp_path / "a.ckpt")
    assert module.generate(3).shape == (3, 1, 4, 4)
    for name, weight in flow.state_dict().items():
        assert torch.equal(weight, module.flow.state_dict()[name])


def test_imported_flow_with_a_wrong_name_writes_nothing(tmp_path):
    weights = build_module(MODULE, {"flow": FLOW}).flow.state_dict()
    name = next(iter(weights))
    weights[f"{name}x"] = weights.pop(name)
    with pytest.raises(CheckpointError, match=name):
        save_flow_checkpoint(tmp_path / "a.ckpt", FLOW["class_path"], FLOW["init_args"], weights)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("place", ["whole", "state_dict", "config"])
def test_malicious_pickle_is_refused_and_not_run(tmp_path, place):
    save_module(tmp_path / "a.ckpt", build_module(MODULE, toy(), ALLOW))
    checkpoint = torch.load(tmp_path / "a.ckpt", weights_only=True)
    payload = Payload(tmp_path / "harm")
    if place == "whole":
        checkpoint = payload
    elif place == "state_dict":
        checkpoint["state_dict"]["flow.extra"] = payload
    else:
        checkpoint["flowsuite"]["config"]["init_args"]["flow"] = payload
    torch.save(checkpoint, tmp_path / "bad.ckpt")
    (tmp_path / "raw.ckpt").write_bytes(pickle.dumps(checkpoint))
    for name in ("bad.ckpt", "raw.ckpt"):
        with pytest.raises(CheckpointError, match=name) as error:
            load_module(tmp_path / name, allow=ALLOW)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("class_path", "message"),
    [
        ("os.system", "not of flowsuite"),
        ("subprocess.Popen", "not of flowsuite"),
        ("torch.hub.load", "not a class that a model is made of"),
        ("torch.multiprocessing.Process", "not a class"),
        ("flowsuite.core.training.checkpoint.importlib", "not a class"),
        ("flowsuite.core.nonsense.Flow", "there is no class"),
        ("Flow", "not of flowsuite"),
    ],
)
def test_classes_that_a_checkpoint_may_not_name(class_path, message):
    with pytest.raises(CheckpointError, match=message):
        instantiate({"class_path": class_path, "init_args": {}})


def test_foreign_class_needs_permission(tmp_path):
    save_module(tmp_path / "a.ckpt", build_module(MODULE, toy(), ALLOW))
    with pytest.raises(CheckpointError, match="--allow toyflow"):
        load_module(tmp_path / "a.ckpt")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_named(tmp_path):
    with pytest.raises(ValueError, match="device cuda: this machine has no CUDA GPU"):
        load_module(tmp_path / "any.ckpt", "cuda")


def test_files_that_are_not_ours(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        read_checkpoint(tmp_path / "absent.ckpt")
    torch.save({"weights": torch.zeros(3)}, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match=r"other\.ckpt is not a flowsuite checkpoint"):
        read_checkpoint(tmp_path / "other.ckpt")
    for content in (b"", b"hello", b"PK\x03\x04 damaged"):
        (tmp_path / "text.ckpt").write_bytes(content)
        with pytest.raises(CheckpointError, match=r"text\.ckpt") as error:
            read_checkpoint(tmp_path / "text.ckpt")
        assert "\n" not in str(error.value)


def test_truncated_checkpoint(tmp_path):
    save_module(tmp_path / "a.ckpt", build_module(MODULE, toy(), ALLOW))
    content = (tmp_path / "a.ckpt").read_bytes()
    (tmp_path / "half.ckpt").write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=r"half\.ckpt"):
        read_checkpoint(tmp_path / "half.ckpt")


def test_a_flipped_bit_is_found(tmp_path):
    module, path = build_module(MODULE, toy(), ALLOW), tmp_path / "a.ckpt"
    save_module(path, module)
    content = bytearray(path.read_bytes())
    weight = module.state_dict()["flow.transform.transforms.1.weight"].numpy().tobytes()
    content[content.index(weight)] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"a\.ckpt is damaged: the checksum of .*data/\d+ in it is wrong"):
        read_checkpoint(path)


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    module = build_module(MODULE, toy(), ALLOW)
    with torch.no_grad():
        module.flow.transform[1].weight[0, 0] = float("nan")
    save_module(tmp_path / "a.ckpt", module)
    with pytest.raises(CheckpointError, match=r"a\.ckpt: flow\.transform\.transforms\.1\.weight has .* diverged"):
        load_module(tmp_path / "a.ckpt", allow=ALLOW)


def test_another_model_is_named(tmp_path):
    module = build_module(MODULE, toy(), ALLOW)
    other = build_module(MODULE, toy(width=5), ALLOW)
    module.config = other.config
    save_module(tmp_path / "a.ckpt", module)
    with pytest.raises(CheckpointError, match=r"another model \(toyflow.ToyFlow\).*\(8, 2\) there and \(5, 2\) here"):
        load_module(tmp_path / "a.ckpt", allow=ALLOW)


def test_double_precision_stays(tmp_path):
    module = build_module(MODULE, toy(), ALLOW).double()
    save_module(tmp_path / "a.ckpt", module)
    assert next(load_module(tmp_path / "a.ckpt", allow=ALLOW).parameters()).dtype == torch.float64


def test_configuration_must_be_plain_data():
    assert plain({"a": (1, [None, "x"])}) == {"a": (1, [None, "x"])}
    with pytest.raises(TypeError, match="plain data"):
        plain({"a": torch.zeros(1)})


def test_only_parts_of_models_are_built(tmp_path):
    """A checkpoint that names our own command line must not start it."""
    argv = ["fit", "--config", "images/demo", "--trainer.default_root_dir", str(tmp_path / "runs")]
    config = {"class_path": "flowsuite.core.training.lightning_cli.FlowCLI", "init_args": {"argv": argv}}
    torch.save({"state_dict": {}, "flowsuite": {"config": config}}, tmp_path / "evil.ckpt")
    with pytest.raises(CheckpointError, match="not a class that a model is made of"):
        load_module(tmp_path / "evil.ckpt")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "content", [{"state_dict": [], "flowsuite": 3}, {"state_dict": {}, "flowsuite": {"config": {}}}]
)
def test_odd_checkpoints_are_named(content, tmp_path):
    torch.save(content, tmp_path / "odd.ckpt")
    with pytest.raises(CheckpointError, match=r"odd\.ckpt"):
        load_module(tmp_path / "odd.ckpt")
