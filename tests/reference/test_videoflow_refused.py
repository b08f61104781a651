"""Weights and configs of a VideoFlow that do not belong together are refused in one line."""

import pytest
import torch

from flowsuite.video.reference import from_reference

pytestmark = pytest.mark.reference_kind("t2t-videoflow")


def refused(case, message, config=None, weights=None):
    changed = {**case.config, "config": {**case.config["config"], **(config or {})}}
    with pytest.raises(ValueError, match=message) as caught:
        from_reference(case.kind, case.param if weights is None else weights, changed)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["depth", "latent_depth", "levels", "K", "width", "latent_width", "channels"])
def test_other_sizes(reference_case, name):
    value = reference_case.config["config"][name]
    refused(reference_case, f"says {name}: {value + 1}, the weights are of {name}: {value}", {name: value + 1})


@pytest.mark.parametrize("name", ["coupling", "activation", "latent_activation"])
def test_other_kinds(reference_case, name):
    refused(reference_case, f"the config says {name}: another", {name: "another"})


def test_other_switches_and_names(reference_case):
    dilations = reference_case.config["config"]["dilations"]
    refused(reference_case, "parallel stacks in each block at level", {"dilations": not dilations})
    refused(reference_case, "dilations must be true or false, got 'yes'", {"dilations": "yes"})
    refused(reference_case, "has no 'latent_dept'; did you mean 'latent_depth'", {"latent_dept": 1})
    refused(reference_case, "one number of pixels, or height and width, got '64'", {"size": "64"})


def test_other_weights(reference_case):
    case, name = reference_case, next(name for name in reference_case.param if name.endswith("res_final/W"))
    rest = {key: w for key, w in case.param.items() if key != name}
    refused(case, "weights of this VideoFlow lack .*res_final/W", weights=rest)
    refused(case, "has no place for extra/W", weights={**case.param, "body/extra/W": torch.zeros(2)})
    for value in (float("nan"), float("inf")):
        refused(
            case, f"{name} holds numbers that are not finite", weights={**case.param, name: case.param[name] * value}
        )
    refused(case, "of another shape", weights={**case.param, name: case.param[name][..., :-2]})
    norm = next(name for name in case.param if name.endswith("conv_block/1_1/actnorm/actnorm_center/b"))
    refused(case, "lack what .*actnorm", weights={key: w for key, w in case.param.items() if key != norm})


def test_optimiser_slots_are_left_out(reference_case):
    extra = {"global_step": torch.tensor(3), "training/body/top/conv3d/res_final/W/Adam": torch.zeros(1)}
    from_reference(reference_case.kind, {**reference_case.param, **extra}, reference_case.config)
