"""docker-compose.yaml, Dockerfile and .env.example: consistent with each other and with what `local/` sets.

No container is started here.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.airflow_site import COMPONENTS, AirflowSite

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "docker-compose.yaml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE)["services"]
AIRFLOW = ["init", "api-server", "scheduler", "dag-processor", "triggerer", "worker"]

# One machine and one user against several containers: these differ on purpose.
LOCAL_ONLY = {
    "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT",
    "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT",
    "AIRFLOW__CORE__DAGS_FOLDER",  # in the Dockerfile
    "AIRFLOW__CORE__PLUGINS_FOLDER",
    "AIRFLOW__CORE__HOSTNAME_CALLABLE",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE",
    "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL",
}
PRODUCTION_ONLY = {
    "AIRFLOW__CORE__AUTH_MANAGER",
    "AIRFLOW__CELERY__BROKER_URL",
    "AIRFLOW__CELERY__RESULT_BACKEND",
    "AIRFLOW__CELERY__WORKER_CONCURRENCY",
    "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT",
    "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK",
    "AIRFLOW_CONN_ALMA_ETL_DB",
    "AIRFLOW_CONN_LIMITER_DEFAULT",
}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("site")
    site = AirflowSite(folder, folder / "logs", "postgresql+psycopg2://", 8080, ROOT / "dags", 8, folder)
    return {
        name: value for name, value in site.environment().items() if name.startswith(("AIRFLOW_", "ALMA_ETL"))
    }


def test_production_and_the_local_stack_set_the_same_things(local: dict[str, str]) -> None:
    production = SERVICES["scheduler"]["environment"]
    assert local.keys() - LOCAL_ONLY - {"AIRFLOW_HOME"} == production.keys() - PRODUCTION_ONLY
    assert local.keys() >= LOCAL_ONLY
    assert production.keys() >= PRODUCTION_ONLY
    for same in ("AIRFLOW__CORE__LOAD_EXAMPLES", "AIRFLOW__CORE__TEST_CONNECTION"):
        assert production[same] == local[same]
    bundles = "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"
    assert [each["name"] for each in json.loads(production[bundles])] == ["dags-folder", "own"]
    assert [each["name"] for each in json.loads(local[bundles])] == ["dags-folder", "own"]
    own = json.loads(production[bundles])[1]["kwargs"]["path"]
    for name in AIRFLOW:
        assert f"./own_dags:{own}:ro" in SERVICES[name]["volumes"]


def test_every_setting_is_one_that_airflow_knows(local: dict[str, str]) -> None:
    from airflow.configuration import conf
    from airflow.providers.celery.get_provider_info import get_provider_info

    known = {
        (section, option)
        for section, described in (conf.configuration_description | get_provider_info()["config"]).items()
        for option in described["options"]
    }
    names = {*local, *(name for service in AIRFLOW for name in SERVICES[service]["environment"])}
    settings = [name for name in names if re.match(r"AIRFLOW__[A-Z_]+?__", name)]
    assert len(settings) > 20
    for name in settings:
        _, section, option = name.split("__")
        assert (section.lower(), option.lower()) in known, name


def test_production_is_production() -> None:
    environment = SERVICES["worker"]["environment"]
    assert environment["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert environment["AIRFLOW__CORE__AUTH_MANAGER"].endswith("FabAuthManager")
    assert environment["AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION"] == "True"
    assert not [name for name in environment if "SIMPLE_AUTH" in name]


def test_every_component_runs_with_the_same_settings() -> None:
    components = {
        "worker" if command[1] == "celery" else command[1]
        for command in (SERVICES[name]["command"] for name in AIRFLOW if name != "init")
    }
    assert components == COMPONENTS.keys() - {"log-server"} | {"worker"}
    for name in AIRFLOW:
        environment = SERVICES[name]["environment"]
        assert environment.items() >= SERVICES["scheduler"]["environment"].items()
        assert "postgres" in SERVICES[name]["depends_on"]
        if name != "init":
            assert SERVICES[name]["depends_on"]["init"] == {"condition": "service_completed_successfully"}


def test_the_one_time_service_prepares_everything() -> None:
    script = SERVICES["init"]["command"][-1]
    wanted = [
        "airflow db migrate",
        "python -m alma_airflow.prepare postgresql+psycopg://alma@postgres:5432/alma_etl",
        "airflow users create",
    ]
    places = [script.find(step) for step in wanted]
    assert -1 not in places
    assert places == sorted(places)
    assert SERVICES["init"]["restart"] == "no"
    assert "pools set" not in script  # which would reset what a person changed


def test_every_service_that_stays_has_a_health_check_and_comes_back() -> None:
    for name, service in SERVICES.items():
        if name != "init":
            assert service["healthcheck"]["test"], name
            assert service["restart"] == "unless-stopped", name


def test_only_the_ui_is_reachable_and_from_this_host_alone() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert list(published) == ["api-server"]
    assert all(port.startswith("127.0.0.1:") for port in published["api-server"])


def test_images_are_pinned() -> None:
    images = [service["image"] for service in SERVICES.values() if "build" not in service]
    base = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert images
    assert base
    for image in [*images, *base]:
        assert re.search(r":\d+(\.\d+)*-?", image), image


def test_every_secret_is_asked_for_and_none_is_written_down() -> None:
    example = (ROOT / ".env.example").read_text()
    required = set(re.findall(r"\$\{(\w+):\?", COMPOSE))
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", COMPOSE))
    offered = dict(re.findall(r"^(\w+)=(.*)$", example, re.MULTILINE))
    optional = dict(re.findall(r"^#(\w+)=(.*)$", example, re.MULTILINE))
    assert offered.keys() == required
    assert set(offered.values()) == {""}
    assert required | optional.keys() == used
    defaults = dict(re.findall(r"(?<!\$)\$\{(\w+):-([^}]*)\}", COMPOSE))
    assert optional == defaults


def test_the_image_has_what_the_compose_file_runs() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    allowed = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    copied = {
        source.removeprefix("./")
        for line in re.findall(r"^COPY (.+)$", dockerfile, re.MULTILINE)
        for source in line.split()[:-1]
    }
    assert copied == set(allowed)
    for name in copied - {"README.md"}:
        assert (ROOT / name).exists(), name
    assert "USER airflow" in dockerfile
    assert "AIRFLOW__CORE__DAGS_FOLDER=/opt/alma/dags" in dockerfile
    assert "-c constraints.txt -r requirements-production.txt" in dockerfile


def test_constraints_pin_what_production_needs() -> None:
    pinned = dict(
        line.lower().split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    )
    for file in ("requirements.txt", "requirements-dev.txt", "requirements-production.txt"):
        for line in (ROOT / file).read_text().splitlines():
            name, exact, version = line.partition("#")[0].strip().lower().partition("==")
            if exact:
                assert pinned[re.sub(r"\[.*\]", "", name)] == version, line


def test_no_secret_stands_on_a_command_line() -> None:
    """Everybody on the host can read the command lines of containers."""
    secrets = re.findall(r"^(\w+)=$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert len(secrets) >= 6
    for name, service in yaml.safe_load(COMPOSE)["services"].items():
        command, check = str(service.get("command")), str(service.get("healthcheck"))
        assert not [secret for secret in secrets if f"${{{secret}" in command + check], name
    script = SERVICES["init"]["command"][-1].replace("\\\n", "")
    commands = [line for line in re.split(r"[\n|]", script) if not line.strip().startswith("printf ")]
    assert not [line for line in commands if "PASSWORD" in line]
    assert "requirepass ${VALKEY_PASSWORD" in yaml.safe_load(COMPOSE)["configs"]["valkey"]["content"]
