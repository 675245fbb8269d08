"""Every setting has a flag, every flag reaches its setting, and what is no flag is refused in one sentence."""

import dataclasses

import pytest
from absl import flags

from vxm_tf.cli import (
    apply,
    calibrate,
    certify,
    client,
    compose,
    convert,
    demo,
    evaluate,
    export,
    invert,
    register,
    serve,
    train,
)  # fmt: skip
from vxm_tf.configuration import description
from vxm_tf.evaluation import EvaluateConfig
from vxm_tf.registration import RegistrationSettings
from vxm_tf.serving.client.register_through_server import ClientConfig
from vxm_tf.training import TrainConfig
from vxm_tf.workflows import RegisterConfig
from vxm_tf.workflows.apply_transforms import ApplyConfig
from vxm_tf.workflows.calibrate_network import CalibrateConfig
from vxm_tf.workflows.certify_transform import CertifyConfig
from vxm_tf.workflows.compose_transforms import ComposeConfig
from vxm_tf.workflows.convert_network import ConvertConfig
from vxm_tf.workflows.demonstration import DemoConfig
from vxm_tf.workflows.export_network import ExportConfig
from vxm_tf.workflows.invert_transform import InvertConfig
from vxm_tf.workflows.serve_models import ServeConfig

# Each command with the configurations whose fields are its flags.
COMMANDS = {
    "train": (train, TrainConfig),
    "evaluate": (evaluate, EvaluateConfig),
    "register": (register, RegisterConfig, RegistrationSettings),
    "export": (export, ExportConfig),
    "apply": (apply, ApplyConfig),
    "compose": (compose, ComposeConfig),
    "invert": (invert, InvertConfig),
    "calibrate": (calibrate, CalibrateConfig),
    "certify": (certify, CertifyConfig),
    "serve": (serve, ServeConfig),
    "client": (client, ClientConfig),
    "convert": (convert, ConvertConfig),
    "demo": (demo, DemoConfig),
}
# The library's function that does the whole work of a command, given its configurations alone.
CALLS = {
    "train": "train",
    "evaluate": "evaluate",
    "register": "register_files",
    "export": "export_file",
    "apply": "apply_files",
    "compose": "compose_files",
    "invert": "invert_file",
    "calibrate": "calibrate_file",
    "certify": "certify_file",
    "client": "register_through_server",
    "demo": "demonstrate",
}


def defined(module):
    values = flags.FlagValues()
    module.define_flags(values)
    return values


def fields_of(command):
    return [field for configuration in COMMANDS[command][1:] for field in dataclasses.fields(configuration)]


@pytest.fixture
def configured(monkeypatch):
    """The configurations that the library is called with, instead of doing the work."""
    configs = []
    for command, function in CALLS.items():
        monkeypatch.setattr(COMMANDS[command][0], function, lambda *given: configs.extend(given))
    return configs


@pytest.mark.parametrize("command", COMMANDS)
def test_flags_and_settings_are_the_same(command):
    assert set(defined(COMMANDS[command][0])) == {field.name for field in fields_of(command)}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_setting_is_described(command):
    module, *configurations = COMMANDS[command]
    for configuration in configurations:
        for field in dataclasses.fields(configuration):
            assert len(field.metadata["description"]) > 5
            assert f" {field.name}: {description(field)}" in words(configuration.__doc__)
            assert len(defined(module)[field.name].help) > 5


def words(text):
    """A text without its line breaks."""
    return " ".join(text.split())


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
    module, *configurations = COMMANDS[command]
    values = defined(module)
    chosen = {name: other_value(values[name]) for name in values}
    answer = call(command, *(f"--{name}={text}" for name, (text, _) in chosen.items()))
    assert answer.code == 0, answer.err

    def value(field):
        # A map is a path among the files, and among the settings whether it is computed.
        return bool(chosen[field.name][1]) if field.type is bool else chosen[field.name][1]

    assert configured == [
        configuration(**{field.name: value(field) for field in dataclasses.fields(configuration)})
        for configuration in configurations
    ]


def test_every_flag_of_a_conversion_reaches_its_setting(call, monkeypatch):
    given = []
    monkeypatch.setattr(convert, "convert_file", lambda *arguments: given.extend(arguments))
    values = defined(convert)
    chosen = {name: other_value(values[name]) for name in values}
    answer = call("convert", "old.h5", "new.keras", *(f"--{name}={text}" for name, (text, _) in chosen.items()))
    assert answer.code == 0, answer.err
    assert given == ["old.h5", "new.keras", ConvertConfig(**{name: value for name, (_, value) in chosen.items()})]


def test_without_flags_the_settings_are_the_defaults(call, configured):
    call("train")
    call("evaluate", "--model=m", "--data_dir=d")
    call("register", "--model=m", "--moving=a", "--fixed=b", "--moved=c")
    assert configured == [
        TrainConfig(),
        EvaluateConfig(model="m", data_dir="d"),
        RegisterConfig(model="m", moving="a", fixed="b", moved="c"),
        RegistrationSettings(),
    ]


@pytest.mark.parametrize("given, expected", [("4", (4,)), ("4,43,14", (4, 43, 14)), ("4, 43", (4, 43))])
def test_labels_are_a_list_of_numbers(call, configured, given, expected):
    call("evaluate", "--model=m", "--data_dir=d", f"--labels={given}")
    assert configured[0].labels == expected


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_every_flag(call, command):
    answer = call(command, "--help")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(COMMANDS[command][0].DESCRIPTION)
    for field in fields_of(command):
        assert f"{field.name}:" in answer.out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_what_every_flag_does(call, command):
    shown = words(call(command, "--help").out)
    for name, flag in flags_by_name(command).items():
        assert f"{name}: {flag.help}" in shown


def test_help_shows_choices_and_defaults(call):
    shown = words(call("train", "--help").out)
    assert "One of memory, disk. (default: memory)" in shown
    assert "--[no]bidirectional: " in shown and "has an inverse. (default: true)" in shown
    assert "Number of training steps in an epoch. (default: 100)" in shown
    # An empty default is what the description says of "empty".
    assert "2 if empty. --orientation" in shown
    assert "default: latest)" in words(call("serve", "--help").out)
    assert "One of empty, itk, " in words(call("apply", "--help").out)


def flags_by_name(command):
    values = defined(COMMANDS[command][0])
    return {f"[no]{name}" if values[name].boolean else name: values[name] for name in values}


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
