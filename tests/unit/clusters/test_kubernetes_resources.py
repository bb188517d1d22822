"""Kubernetes resources, held against the schema of the operator that is installed."""

from __future__ import annotations

import importlib.util
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from distbragg.spec.cluster import AddressClusterSpec, read_cluster_file

FAST_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
FOLDER = Path(__file__).parents[3] / "cluster" / "kubernetes"


@pytest.fixture(scope="module")
def schemas() -> dict[str, dict[str, Any]]:
    """The schema of each custom resource by its kind, closed to unknown fields.

    Kubernetes drops fields it does not know without a word; here they are errors.
    """
    found = importlib.util.find_spec("dask_kubernetes")
    if found is None or found.origin is None:
        pytest.skip("dask-kubernetes, which holds the operator's schemas, is not installed")
    folder = Path(found.origin).parent / "operator" / "deployment" / "helm"
    schemas = {}
    for name in ("daskcluster.yaml", "daskworkergroup.yaml"):
        (path,) = folder.glob(f"*/crds/{name}")
        definition = yaml.load(path.read_text(), Loader=FAST_LOADER)
        (version,) = definition["spec"]["versions"]
        schema = deepcopy(version["schema"]["openAPIV3Schema"])
        close(schema)
        schema["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {}}
        schemas[definition["spec"]["names"]["kind"]] = schema
    return schemas


def close(schema: object) -> None:
    if isinstance(schema, dict):
        open_ended = schema.get("x-kubernetes-preserve-unknown-fields")
        if isinstance(schema.get("properties"), dict) and not open_ended:
            schema.setdefault("additionalProperties", False)
        for part in schema.values():
            close(part)
    elif isinstance(schema, list):
        for part in schema:
            close(part)


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


def pods() -> list[tuple[str, dict[str, Any]]]:
    (cluster,), (gpu,) = documents("cluster.yaml"), documents("workers-gpu.yaml")
    return [
        ("scheduler", cluster["spec"]["scheduler"]["spec"]),
        ("worker", cluster["spec"]["worker"]["spec"]),
        ("worker", gpu["spec"]["worker"]["spec"]),
        ("driver", documents("driver.yaml")[0]["spec"]["template"]["spec"]),
    ]


@pytest.mark.spec("CLU-7")
@pytest.mark.parametrize("name", ["cluster.yaml", "workers-gpu.yaml"])
def test_a_resource_fits_the_operators_schema(name, schemas):
    (resource,) = documents(name)
    assert resource["apiVersion"] == "kubernetes.dask.org/v1"
    jsonschema.validate(resource, schemas[resource["kind"]])


@pytest.mark.spec("CLU-7")
def test_the_drivers_pod_fits_the_schema_of_pods(schemas):
    pod = schemas["DaskCluster"]["properties"]["spec"]["properties"]["worker"]["properties"]["spec"]
    jsonschema.validate(documents("driver.yaml")[0]["spec"]["template"]["spec"], pod)


def test_a_misspelt_field_does_not_pass(schemas):
    (resource,) = documents("cluster.yaml")
    resource["spec"]["worker"]["spec"]["containers"][0]["resource"] = {}
    with pytest.raises(jsonschema.ValidationError, match="resource"):
        jsonschema.validate(resource, schemas["DaskCluster"])


@pytest.mark.spec("CLU-2")
@pytest.mark.parametrize(("role", "pod"), pods())
def test_every_pod_is_encrypted_and_shows_its_dashboard_to_itself_alone(role, pod):
    (container,) = pod["containers"]
    words = container["args"]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert mounts["/tls"] == "tls"
    assert {volume["name"] for volume in pod["volumes"]} == set(mounts.values())
    if role == "driver":
        return
    assert words[words.index("--protocol") + 1] == "tls"
    for flag in ("--tls-ca-file", "--tls-cert", "--tls-key"):
        assert words[words.index(flag) + 1].startswith("/tls/")
    assert words[words.index("--dashboard-address") + 1].startswith("127.0.0.1:")
    if role == "worker":
        assert words[words.index("--nthreads") + 1] == "1"
        environ = {item["name"]: item["value"] for item in container["env"]}
        assert environ["DASK_SCHEDULER_ADDRESS"].startswith("tls://")
        cores = int(container["resources"]["requests"]["cpu"])
        assert int(words[words.index("--nworkers") + 1]) <= cores


def test_the_drivers_cluster_file_is_read(tmp_path):
    _, site = documents("driver.yaml")
    path = tmp_path / "cluster.yaml"
    path.write_text(site["data"]["cluster.yaml"])
    spec = read_cluster_file(str(path))
    assert isinstance(spec, AddressClusterSpec)
    (cluster,) = documents("cluster.yaml")
    assert spec.address == f"tls://{cluster['metadata']['name']}-scheduler:8786"
    assert spec.tls is not None
