"""Every setting has a flag, every flag reaches its setting, and what is no flag is refused in one sentence."""

import dataclasses

import pytest
from absl import flags

from vxm_tf.cli import apply, calibrate, certify, compose, demo, evaluate, export, invert, register, serve, train
from vxm_tf.cli.demo import DemoConfig
from vxm_tf.cli.export import ExportConfig
from vxm_tf.cli.serve import ServeConfig
from vxm_tf.evaluation import EvaluateConfig
from vxm_tf.spatial.chain_files import ComposeConfig, InvertConfig
from vxm_tf.training import TrainConfig
from vxm_tf.workflows import RegisterConfig
from vxm_tf.workflows.apply_transforms import ApplyConfig
from vxm_tf.workflows.calibrate_network import CalibrateConfig
from vxm_tf.workflows.certify_transform import CertifyConfig

PAIRS = [
    (train, TrainConfig),
    (evaluate, EvaluateConfig),
    (register, RegisterConfig),
    (export, ExportConfig),
    (apply, ApplyConfig),
    (compose, ComposeConfig),
    (invert, InvertConfig),
    (calibrate, CalibrateConfig),
    (certify, CertifyConfig),
    (serve, ServeConfig),
    (demo, DemoConfig),
]
COMMANDS = ("train", "evaluate", "register", "export", "apply", "compose", "invert", "calibrate", "certify", "serve")
# Those whose whole work is one call that takes their configuration.
CALLS = {
    "train": (train, "train", TrainConfig),
    "evaluate": (evaluate, "evaluate", EvaluateConfig),
    "register": (register, "register_files", RegisterConfig),
    "apply": (apply, "apply_files", ApplyConfig),
    "compose": (compose, "compose_files", ComposeConfig),
    "invert": (invert, "invert_file", InvertConfig),
    "calibrate": (calibrate, "calibrate_file", CalibrateConfig),
    "certify": (certify, "certify_file", CertifyConfig),
}


def defined(module):
    values = flags.FlagValues()
    module.define_flags(values)
    return values


@pytest.fixture
def configured(monkeypatch):
    """The configurations that the library is called with, instead of doing the work."""
    configs = []
    for module, function, _ in CALLS.values():
        monkeypatch.setattr(module, function, configs.append)
    monkeypatch.setattr(register, "_draw", lambda *_: None)
    return configs


@pytest.mark.parametrize("module, config", PAIRS, ids=lambda value: getattr(value, "__name__", None))
def test_flags_and_settings_are_the_same(module, config):
    assert set(defined(module)) == {field.name for field in dataclasses.fields(config)}


@pytest.mark.parametrize("module, config", PAIRS, ids=lambda value: getattr(value, "__name__", None))
def test_every_setting_is_described(module, config):
    for field in dataclasses.fields(config):
        assert f"        {field.name}: " in config.__doc__
        assert len(defined(module)[field.name].help) > 5


def other_value(flag):
    """(what to write on the command line, what it means) for a value that is not the default."""
    if flag.flag_type() == "bool":
        return str(not flag.default).lower(), not flag.default
    if "enum" in flag.flag_type():
        return (value := next(v for v in flag.parser.enum_values if v != flag.default)), value
    if "list" in flag.flag_type():
        return ("a b,c", ("a b", "c")) if flag.name in ("transforms", "augmentations") else ("3,5", (3, 5))
    return {"int": ("17", 17), "float": ("0.125", 0.125), "string": ("x y", "x y")}[flag.flag_type()]


@pytest.mark.parametrize("command", CALLS)
def test_every_flag_reaches_its_setting(call, configured, command):
    module, _, config = CALLS[command]
    values = defined(module)
    chosen = {name: other_value(values[name]) for name in values}
    answer = call(command, *(f"--{name}={text}" for name, (text, _) in chosen.items()))
    assert answer.code == 0, answer.err
    assert configured == [config(**{name: value for name, (_, value) in chosen.items()})]


def test_without_flags_the_settings_are_the_defaults(call, configured):
    call("train")
    call("evaluate", "--model=m", "--data_dir=d")
    call("register", "--model=m", "--moving=a", "--fixed=b", "--moved=c")
    assert configured == [
        TrainConfig(),
        EvaluateConfig(model="m", data_dir="d"),
        RegisterConfig(model="m", moving="a", fixed="b", moved="c"),
    ]


@pytest.mark.parametrize("given, expected", [("4", (4,)), ("4,43,14", (4, 43, 14)), ("4, 43", (4, 43))])
def test_labels_are_a_list_of_numbers(call, configured, given, expected):
    call("evaluate", "--model=m", "--data_dir=d", f"--labels={given}")
    assert configured[0].labels == expected


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_every_flag(call, command):
    answer = call(command, "--help")
    module, config = PAIRS[COMMANDS.index(command)]
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(module.DESCRIPTION)
    for field in dataclasses.fields(config):
        assert f"{field.name}:" in answer.out


REFUSED = {
    "an unknown flag": ("--nonsense=1", "nonsense"),
    "a misspelt flag": ("--epoch=1", "epoch"),
    "an argument that is no flag": ("scans/", "Unexpected arguments scans/"),
    "a number that is none": ("--seed=many", "many"),
}


@pytest.mark.parametrize("reason", REFUSED)
@pytest.mark.parametrize("command", ("train", "evaluate"))
def test_what_is_no_flag_is_refused(call, configured, command, reason):
    argument, expected = REFUSED[reason]
    answer = call(command, "--model=m" if command == "evaluate" else "--seed=1", "--data_dir=d", argument)
    assert answer.code == 1
    assert answer.err.startswith("Error: ") and expected in answer.err
    assert "Traceback" not in answer.err + answer.out
    assert configured == []


@pytest.mark.parametrize(
    "flag", ("normalization", "cache", "preset", "similarity", "regularity", "mixed_precision", "bidirectional")
)
def test_a_choice_that_does_not_exist_is_refused(call, configured, flag):
    answer = call("train", f"--{flag}=neither")
    assert answer.code == 1 and configured == []
    assert answer.err.startswith("Error: ") and flag in answer.err and "Traceback" not in answer.err


@pytest.mark.parametrize("value", ("a,b", "1.5", "1;2"))
def test_labels_that_are_no_numbers_are_refused(call, configured, value):
    answer = call("evaluate", "--model=m", "--data_dir=d", f"--labels={value}")
    assert answer.code == 1 and configured == []
    assert "--labels is a list of numbers with commas between" in answer.err


MISSING = {
    "--model must be given": ("evaluate", "--data_dir=d"),
    "--data_dir, --val_list or --pairs": ("evaluate", "--model=m"),
    "--moving, --fixed must be given": ("register", "--moved=m"),
    "--fixed must be given": ("register", "--moving=a", "--model=m"),
    "Nothing to write": ("register", "--moving=a", "--fixed=b", "--model=m"),
    "--output_dir must be given": ("export", "--model=m"),
    "--model, --output_dir must be given": ("export",),
    "--model_base_path must be given": ("serve",),
    "--transforms must be given": ("apply", "--image=a"),
    "--fixed, --output must be given": ("compose", "--transforms=a"),
    "--moving, --output must be given": ("invert", "--transform=a"),
}


@pytest.mark.parametrize("expected", MISSING)
def test_a_flag_that_must_be_given_is_named(call, configured, expected):
    answer = call(*MISSING[expected])
    assert answer.code == 1 and configured == []
    assert answer.err.startswith("Error: ") and expected in answer.err and "Traceback" not in answer.err


def test_debug_shows_where_an_error_comes_from(call):
    with pytest.raises(ValueError, match="Nothing to write"):
        call("register", "--moving=a", "--fixed=b", "--model=m", "--debug")


def test_an_interrupt_ends_with_130_and_without_a_traceback(call, monkeypatch):
    def interrupt(config):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "train", interrupt)
    answer = call("train")
    assert (answer.code, answer.err) == (130, "Interrupted.\n")
