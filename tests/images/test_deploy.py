"""The files for platforms: each against its platform's own schema, where its package is installed.

`make test-images` installs those packages; without them the tests that need one are skipped.
"""

import asyncio
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import yaml

from asr.config.config import Config
from asr.jobs.postgres_store import open_store
from asr.metrics import Metrics
from tests.conftest import ROOT
from tests.support.job_stores import job

DEPLOY = ROOT / "images" / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.suffix in {".json", ".yaml"})
COMPOSE = [path for path in FILES if path.name.startswith("compose.")]
TAGS = (Path(__file__).parent / "tags.txt").read_text().replace("VERSION", "latest").split()
OF_OTHERS = {"HF_HUB_OFFLINE", "PORT_HEALTH", "POSTGRES_DB", "POSTGRES_PASSWORD", "POSTGRES_USER"}
ROUTES = {"/asr", "/hc", "/health", "/metrics"}


def documents(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".json":
        return [json.loads(path.read_text())]
    return list(yaml.safe_load_all(path.read_text()))


def leaves(node: Any, name: str = "") -> list[tuple[str, Any]]:
    """Every value in a document, with the name of the field that it is in."""
    if isinstance(node, dict):
        return [leaf for key, value in node.items() for leaf in leaves(value, key)]
    if isinstance(node, list):
        return [leaf for value in node for leaf in leaves(value, name)]
    return [(name, node)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_image_route_and_port_is_one_of_ours(path):
    for document in documents(path):
        for name, value in leaves(document):
            if "asr-api:" in str(value):
                image = value.removeprefix("REGISTRY/")
                assert image in TAGS or image == "asr-api:latest-salad-queue"
            if name in {"path", "healthRoute"} or name.endswith("_endpoint"):
                assert value in ROUTES
            if name in {"port", "server_port"} and isinstance(value, int):
                assert value in {8000, 80}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_variable_is_a_setting_and_its_value_is_taken(path):
    text = path.read_text()
    named = dict(re.findall(r'"([A-Z][A-Z_0-9]+)": "([^"]*)"', text))
    named |= dict(re.findall(r"^ +([A-Z][A-Z_0-9]+): (\S+)$", text, re.MULTILINE))
    named |= dict(re.findall(r'name: ([A-Z][A-Z_0-9]+)\n +value: "?([^"\n]*)"?', text))
    settings = {field.upper() for field in Config.__dataclass_fields__}
    assert named.keys() <= settings | OF_OTHERS
    Config.from_environment(named)


@pytest.mark.parametrize("name", ["kubernetes/hpa.yaml", "kubernetes/keda.yaml"])
def test_pods_are_scaled_on_a_metric_that_the_server_has(name):
    [metric] = set(re.findall(r"asr_\w+", (DEPLOY / name).read_text()))
    assert metric in {family.name for family in Metrics().registry.collect()}


def test_pods_are_given_the_time_to_answer_what_they_took():
    [deployment, *_] = documents(DEPLOY / "kubernetes" / "asr-api.yaml")
    pod = deployment["spec"]["template"]["spec"]
    [container] = pod["containers"]
    environment = {one["name"]: one["value"] for one in container["env"]}
    pause = float(container["lifecycle"]["preStop"]["exec"]["command"][1])
    drain = float(environment["DRAIN_TIMEOUT_S"])
    assert pause + drain < pod["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("name", ["container-group.json", "container-group-queue.json"])
def test_salad_takes_the_container_group(name):
    models = pytest.importorskip("salad_cloud_sdk.models")
    [document] = documents(DEPLOY / "salad" / name)
    assert not unknown_to_salad(models.ContainerGroupCreationRequest._unmap(document))


def unknown_to_salad(model: Any) -> list[str]:
    """Names that a model of Salad's SDK has kept aside because it does not know them."""
    unknown = list(getattr(model, "_kwargs", {}))
    for value in vars(model).values():
        if hasattr(value, "_kwargs"):
            unknown += unknown_to_salad(value)
    return unknown


def test_baseten_takes_the_configuration():
    truss_config = pytest.importorskip("truss.base.truss_config")
    config = truss_config.TrussConfig.from_yaml(DEPLOY / "baseten" / "config.yaml")
    [document] = documents(DEPLOY / "baseten" / "config.yaml")
    assert config.docker_server.predict_endpoint == document["docker_server"]["predict_endpoint"]


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.name)
def test_the_schema_of_compose_takes_the_file(path):
    package = pytest.importorskip("check_jsonschema")
    jsonschema = pytest.importorskip("jsonschema")
    vendored = Path(package.__file__).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
    [document] = documents(path)
    jsonschema.validate(document, json.loads(vendored.read_text()))


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.name)
def test_published_ports_are_exposed_and_have_a_listener(path):
    [exposed] = re.findall(r"^EXPOSE (.+)$", (ROOT / "images/server.Dockerfile").read_text(), re.M)
    [document] = documents(path)
    for service in document["services"].values():
        published = {port.partition(":")[2] for port in service.get("ports", ())}
        assert published <= set(exposed.split())
        wyoming = service.get("environment", {}).get("WYOMING_PORT")
        assert ("10300" in published) == (wyoming is not None)
        assert wyoming in {None, 10300}


def test_home_assistant_has_a_compose_file():
    files = [path for path in COMPOSE if "WYOMING_PORT" in path.read_text()]
    assert [path.name for path in files] == ["compose.home-assistant.yaml"]


def test_the_servers_of_the_cluster_share_database_and_uploads_behind_one_gateway():
    [document] = documents(DEPLOY / "compose.cluster.yaml")
    services = document["services"]
    servers, database = services["asr"], services["postgres"]["environment"]
    assert servers["deploy"]["replicas"] == 3
    assert [name for name, one in services.items() if "ports" in one] == ["gateway"]
    password = database["POSTGRES_PASSWORD"]
    url = urlsplit(servers["environment"]["JOBS_URL"].replace(password, "secret"))
    assert (url.hostname, url.username) == ("postgres", database["POSTGRES_USER"])
    assert url.path == f"/{database['POSTGRES_DB']}"
    assert url.password == "secret"
    [volume] = servers["volumes"]
    assert servers["environment"]["UPLOADS_URL"].startswith(volume.partition(":")[2])


def test_the_clusters_gateway_reads_its_configuration_from_the_file_beside_it():
    [document] = documents(DEPLOY / "compose.cluster.yaml")
    [mount] = document["services"]["gateway"]["volumes"]
    source, target, mode = mount.split(":")
    assert (target, mode) == ("/etc/nginx/conf.d/default.conf", "ro")
    gateway = (DEPLOY / source).read_text()
    assert "least_conn;" in gateway
    assert "server asr:8000 resolve" in gateway
    assert "configs" not in document  # Compose puts no text into a container that is read-only


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.name)
def test_docker_compose_itself_takes_the_file(path):
    command = ["docker", "compose"]
    if shutil.which("docker") is None or subprocess.run([*command, "version"]).returncode:
        pytest.skip("Docker Compose 2 is not installed")
    subprocess.run([*command, "-f", path, "config", "--quiet"], check=True)


def test_kustomize_is_given_files_that_are_there_and_a_patch_that_fits():
    folder = DEPLOY / "kubernetes"
    [document] = documents(folder / "kustomization.yaml")
    resources = [one for name in document["resources"] for one in documents(folder / name)]
    [patch] = [yaml.safe_load(one["patch"]) for one in document["patches"]]
    [deployment] = [one for one in resources if one["kind"] == "Deployment"]
    named = patch["kind"], patch["metadata"]["name"]
    assert named == ("Deployment", deployment["metadata"]["name"])
    pod, patched = (one["spec"]["template"]["spec"] for one in (deployment, patch))
    assert [one["name"] for one in patched["containers"]] == [
        one["name"] for one in pod["containers"]
    ]
    names = {one["metadata"]["name"] for one in resources}
    for name, value in leaves(patch):
        assert name != "claimName" or value in names
    [container] = patched["containers"]
    secret = container["env"][0]["valueFrom"]["secretKeyRef"]
    [kept] = [one for one in resources if one["kind"] == "Secret"]
    assert (secret["name"], secret["key"]) == (kept["metadata"]["name"], *kept["stringData"])
    settings = {field.upper() for field in Config.__dataclass_fields__}
    assert {one["name"] for one in container["env"]} <= settings


def test_pods_are_scaled_by_a_query_that_the_store_answers(postgres):
    [_, scaled] = documents(DEPLOY / "kubernetes" / "keda-jobs.yaml")
    query = scaled["spec"]["triggers"][0]["metadata"]["query"]

    async def depth() -> float:
        async with open_store(postgres.url) as store:
            await store.add(job("long", audio_seconds=7200.0))
            await store.add(job("short"))
            await store.add(job("later", due_at=4e9))
        with psycopg.connect(postgres.url) as connection:
            row = connection.execute(query).fetchone()
            return 0.0 if row is None else float(row[0])

    assert asyncio.run(depth()) == 7260.0


@pytest.mark.parametrize("name", ["asr-api.yaml", "hpa.yaml", "jobs.yaml"])
def test_kubernetes_takes_the_objects(name):
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    for document in documents(DEPLOY / "kubernetes" / name):
        kubernetes_validate.validate(document, "1.30", strict=True)


class Sent(Exception):
    """What would have been sent."""


def test_hugging_face_is_sent_what_its_own_client_sends(monkeypatch):
    from huggingface_hub import hf_api

    [document] = documents(DEPLOY / "huggingface" / "endpoint.json")
    compute, model = document["compute"], document["model"]

    class Session:
        def post(self, _: str, *, json: dict[str, Any], **__: Any) -> None:
            raise Sent(json)

    monkeypatch.setattr(hf_api, "get_session", Session)
    with pytest.raises(Sent) as sent:
        hf_api.HfApi(token="none").create_inference_endpoint(
            document["name"],
            repository=model["repository"],
            framework=model["framework"],
            task=model["task"],
            env=model["env"],
            custom_image=model["image"]["custom"],
            accelerator=compute["accelerator"],
            instance_size=compute["instanceSize"],
            instance_type=compute["instanceType"],
            min_replica=compute["scaling"]["minReplica"],
            max_replica=compute["scaling"]["maxReplica"],
            scale_to_zero_timeout=compute["scaling"]["scaleToZeroTimeout"],
            region=document["provider"]["region"],
            vendor=document["provider"]["vendor"],
            type=document["type"],
            namespace="me",
        )
    assert without_nothing(sent.value.args[0]) == document


def without_nothing(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    return {name: without_nothing(value) for name, value in node.items() if value is not None}
