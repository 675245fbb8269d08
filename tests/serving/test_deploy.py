"""The deployment files: they parse, agree with each other, use flags that exist, and open nothing to the network."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

yaml = pytest.importorskip("yaml")

DEPLOY = Path(__file__).resolve().parents[2] / "export" / "deploy"
# Of tensorflow_model_server, in its main.cc.
FLAGS = {
    "allow_version_labels_for_unavailable_models",
    "enable_batching",
    "enable_grpc_healthcheck_service",
    "enable_model_warmup",
    "file_system_poll_wait_seconds",
    "model_base_path",
    "model_config_file",
    "model_config_file_poll_wait_seconds",
    "model_name",
    "monitoring_config_file",
    "port",
    "rest_api_num_threads",
    "rest_api_port",
    "rest_api_timeout_in_ms",
}
FIELD = descriptor_pb2.FieldDescriptorProto
# The parts of model_server_config.proto and monitoring_config.proto that may be in the files: field to (number, type,
# repeated).
MESSAGES = {
    "Latest": {"num_versions": (1, "uint32", False)},
    "Policy": {"latest": (100, "Latest", False)},
    "Label": {"key": (1, "string", False), "value": (2, "int64", False)},
    "Config": {
        "name": (1, "string", False),
        "base_path": (2, "string", False),
        "model_platform": (4, "string", False),
        "model_version_policy": (7, "Policy", False),
        "version_labels": (8, "Label", True),
    },
    "Configs": {"config": (1, "Config", True)},
    "Models": {"model_config_list": (1, "Configs", False)},
    "Prometheus": {"enable": (1, "bool", False), "path": (2, "string", False)},
    "Monitoring": {"prometheus_config": (1, "Prometheus", False)},
}


def parsed(name, kind):
    """A text file as a message of `MESSAGES`."""
    file = descriptor_pb2.FileDescriptorProto(name="deploy.proto", package="deploy", syntax="proto3")
    for message, fields in MESSAGES.items():
        added = file.message_type.add(name=message)
        for key, (number, type_name, repeated) in fields.items():
            label = FIELD.LABEL_REPEATED if repeated else FIELD.LABEL_OPTIONAL
            if type_name in MESSAGES:
                added.field.add(name=key, number=number, label=label, type=FIELD.TYPE_MESSAGE, type_name=type_name)
            else:
                added.field.add(name=key, number=number, label=label, type=getattr(FIELD, f"TYPE_{type_name.upper()}"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    message = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"deploy.{kind}"))()
    return text_format.Parse((DEPLOY / name).read_text(), message)


@pytest.fixture(scope="module")
def services():
    return yaml.safe_load((DEPLOY / "docker-compose.yml").read_text())["services"]


@pytest.fixture(scope="module")
def kinds():
    return {part["kind"]: part for part in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())}


@pytest.fixture(scope="module")
def pod(kinds):
    return kinds["Deployment"]["spec"]["template"]["spec"]


def uncommented_proxy():
    """The service that the compose file has in comments."""
    text = (DEPLOY / "docker-compose.yml").read_text()
    block = text[text.index("  # proxy:") :]
    return yaml.safe_load(re.sub(r"^  # ?", "", block, flags=re.MULTILINE))["proxy"]


def test_the_model_is_vxm_with_two_labels_of_a_loaded_version():
    (config,) = parsed("models.config", "Models").model_config_list.config
    assert (config.name, config.base_path, config.model_platform) == ("vxm", "/models/vxm", "tensorflow")
    assert {label.key: label.value for label in config.version_labels} == {"stable": 1, "canary": 1}
    assert config.model_version_policy.latest.num_versions == 2


def test_metrics_are_where_prometheus_looks():
    prometheus = parsed("monitoring.config", "Monitoring").prometheus_config
    assert prometheus.enable and prometheus.path == "/monitoring/prometheus/metrics"


def test_the_flags_exist_and_are_the_same_everywhere(services, pod):
    expected = services["serving"]["command"]
    assert services["serving-gpu"]["command"] == pod["containers"][0]["args"] == expected
    flags = dict(flag.removeprefix("--").split("=") for flag in expected)
    assert set(flags) <= FLAGS
    assert flags["rest_api_timeout_in_ms"] == "300000" and flags["rest_api_num_threads"] == "2"
    assert flags["enable_batching"] == "false"
    assert flags["allow_version_labels_for_unavailable_models"] == "true"


def test_files_that_flags_name_are_mounted(services, pod, kinds):
    named = {flag.split("=")[1] for flag in services["serving"]["command"] if "_file=" in flag}
    for service in ("serving", "serving-gpu"):
        mounts = {target: source for source, target in (v.rsplit(":", 2)[:2] for v in services[service]["volumes"])}
        assert named <= set(mounts)
        for target in named:
            assert (DEPLOY / mounts[target]).is_file()
    assert {Path(name).name for name in named} == set(kinds["ConfigMap"]["data"])
    assert {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]} == {"/models", "/config", "/tmp"}


@pytest.mark.parametrize("name", ("models.config", "monitoring.config"))
def test_the_cluster_gets_the_same_files(kinds, name):
    assert kinds["ConfigMap"]["data"][name] == (DEPLOY / name).read_text()


def test_images_are_pinned(services, pod):
    images = [service["image"] for service in services.values()] + [pod["containers"][0]["image"]]
    images.append(uncommented_proxy()["image"])
    for image in images:
        assert re.fullmatch(r"[a-z/]+:\d+\.\d+\.\d+(-gpu)?", image)
    assert services["serving-gpu"]["image"] == services["serving"]["image"] + "-gpu"
    assert pod["containers"][0]["image"] == services["serving"]["image"]


def test_ports_are_open_to_this_machine_and_to_the_cluster_only(services, kinds, pod):
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert kinds["Service"]["spec"]["type"] == "ClusterIP"
    assert not {"hostNetwork", "hostPort"} & set(json.dumps(pod).replace('"', " ").split())


def test_a_server_may_not_do_more_than_serve(services, pod):
    for service in services.values():
        assert service["read_only"] and service["cap_drop"] == ["ALL"] and service["user"] == "65534:65534"
        assert service["deploy"]["resources"]["limits"]["memory"]
        assert all(volume.endswith(":ro") for volume in service["volumes"])
        assert service["environment"]["TF_ENABLE_ONEDNN_OPTS"] == "1"
    assert pod["securityContext"]["runAsNonRoot"] and pod["automountServiceAccountToken"] is False
    container = pod["containers"][0]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["resources"]["limits"]["memory"] == "16Gi"
    assert container["volumeMounts"][0] == {"name": "models", "mountPath": "/models", "readOnly": True}


def test_a_gpu_is_reserved_on_demand_only(services):
    assert services["serving-gpu"]["profiles"] == ["gpu"] and "profiles" not in services["serving"]
    (device,) = services["serving-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}


def test_every_check_asks_for_the_same(services, pod):
    command = services["serving"]["healthcheck"]["test"]
    assert command[0] == "CMD"
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert pod["containers"][0][probe]["exec"]["command"] == command[1:]


def test_a_server_that_works_is_not_killed(pod, services):
    probe = pod["containers"][0]["livenessProbe"]
    (timeout_ms,) = (int(f.split("=")[1]) for f in services["serving"]["command"] if "timeout_in_ms" in f)
    assert probe["periodSeconds"] * probe["failureThreshold"] > timeout_ms / 1000


@pytest.mark.parametrize(
    "status, state, healthy",
    [(200, "AVAILABLE", True), (200, "UNAVAILABLE", False), (200, "LOADING", False), (404, None, False)],
)
def test_the_check_requires_a_loaded_model(services, stub_server, status, state, healthy):
    body = json.dumps({"model_version_status": [{"version": "1", "state": state}]}, indent=1).encode()
    server = stub_server((status, {}, body))
    command = [part.replace("8501", str(server.server_port)) for part in services["serving"]["healthcheck"]["test"][1:]]
    assert (subprocess.run(command, capture_output=True, timeout=60).returncode == 0) is healthy
    assert server.requests[0][:2] == ("GET", "/v1/models/vxm")


def test_the_check_fails_where_nobody_listens(services, stub_server):
    server = stub_server((200, {}, b""))
    server.shutdown()
    server.server_close()
    command = [part.replace("8501", str(server.server_port)) for part in services["serving"]["healthcheck"]["test"][1:]]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode != 0


def directives(text):
    """nginx's configuration as nested lists of (name, arguments, inner directives or None)."""
    tokens = re.findall(r"#[^\n]*|'[^']*'|\"[^\"]*\"|[{};]|[^\s{};'\"]+", text)
    tokens = [token for token in tokens if not token.startswith("#")]

    def block():
        found, words = [], []
        while tokens:
            token = tokens.pop(0)
            if token == ";":
                found.append((words[0], words[1:], None))
                words = []
            elif token == "{":
                found.append((words[0], words[1:], block()))
                words = []
            elif token == "}":
                assert not words
                return found
            else:
                words.append(token.strip("'\""))
        assert not words
        return found

    found = block()
    assert not tokens
    return found


@pytest.fixture(scope="module")
def nginx():
    (http,) = (inner for name, _, inner in directives((DEPLOY / "nginx.conf").read_text()) if name == "http")
    (server,) = (inner for name, _, inner in http if name == "server")
    return http, server


def test_the_proxy_wants_a_token_over_tls(nginx):
    http, server = nginx
    assert ("listen", ["8443", "ssl"], None) in server
    (condition,) = ((arguments, inner) for name, arguments, inner in server if name == "if")
    assert condition[0] == ["($client", "=", "", ")"] and condition[1][0][1][0] == "401"
    (names,) = (inner for name, arguments, inner in http if name == "map" and arguments[0] == "$http_authorization")
    assert names == [("default", [""], None), ("include", ["/etc/nginx/secrets/tokens.map"], None)]


def test_the_proxy_limits_sizes_rates_and_connections(nginx):
    http, server = nginx
    assert ("client_max_body_size", ["256m"], None) in server
    assert [arguments[0] for name, arguments, _ in server if name == "limit_req"] == ["zone=requests"]
    assert [arguments for name, arguments, _ in server if name == "limit_conn"] == [
        ["connections", "4"],
        ["all_connections", "16"],
    ]
    zones = {a[1].split(":")[0] for name, a, _ in http if name in ("limit_req_zone", "limit_conn_zone")}
    assert zones == {"zone=requests", "zone=connections", "zone=all_connections"}


def test_the_proxy_lets_calls_of_the_model_pass_and_nothing_else(nginx):
    _, server = nginx
    locations = {tuple(arguments): inner for name, arguments, inner in server if name == "location"}
    ((_, pattern),) = (arguments for arguments in locations if arguments[0] == "~")
    for path in ("", ":predict", "/versions/12:predict", "/labels/stable:predict", "/versions/1"):
        assert re.search(pattern, "/v1/models/vxm" + path)
    for path in (
        "/v1/models/other:predict",
        "/monitoring/prometheus/metrics",
        "/v1/models/vxm/metadata",
        "/v1/models/vxm2",
    ):
        assert not re.search(pattern, path)
    passed = locations[("~", pattern)]
    assert ("proxy_read_timeout", ["310s"], None) in passed and (
        "proxy_set_header",
        ["Authorization", ""],
        None,
    ) in passed
    assert [name for name, _, _ in locations[("/",)]] == ["return"]


def test_the_proxy_of_the_compose_file_has_what_it_reads():
    proxy = uncommented_proxy()
    assert "./nginx.conf:/etc/nginx/nginx.conf:ro" in proxy["volumes"]
    assert proxy["depends_on"] == {"serving": {"condition": "service_healthy"}}
