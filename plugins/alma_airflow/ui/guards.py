"""Who may see a page and who may act: Airflow's own permissions, asked of whichever auth manager there is.

Every route has one of these among its dependencies, behind the login that `Gate` asks for.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import get_user, requires_access_dag, requires_access_view
from airflow.configuration import conf
from airflow.models.dag import DagModel
from fastapi import Depends

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.base_auth_manager import ResourceMethod

CurrentUser = Annotated[BaseUser, Depends(get_user)]
Guard = Callable[..., Any]

may_look: Guard = requires_access_view(AccessView.WEBSITE)
"""Whoever may use Airflow's UI; the page itself shows what of the DAGs that they may see (`runs_seen`)."""


def may_see_runs(dag_id: str | None = None) -> Guard:
    """Whoever may see the runs of a DAG: the one named, else the `dag_id` of the route."""
    return requires_access_dag("GET", DagAccessEntity.RUN, dag_id)


def may_start_runs(dag_id: str | None = None) -> Guard:
    """Whoever may trigger a DAG, the one named or the `dag_id` of the route: for all that changes something."""
    return requires_access_dag("POST", DagAccessEntity.RUN, dag_id)


def can_start_runs(user: BaseUser, dag_id: str) -> bool:
    """Whether this user may trigger a DAG: so that a page offers nobody what would be refused."""
    return bool(_allowed(user, [dag_id], "POST"))


def runs_seen(user: BaseUser, dag_ids: Iterable[str]) -> set[str]:
    """Those of the DAGs whose runs this user may see."""
    return _allowed(user, list(dag_ids), "GET")


def _allowed(user: BaseUser, dag_ids: list[str], method: "ResourceMethod") -> set[str]:
    in_teams = conf.getboolean("core", "multi_team", fallback=False)
    teams = DagModel.get_dag_id_to_team_name_mapping(dag_ids) if in_teams else {}
    manager = get_auth_manager()
    return {
        each
        for each in dag_ids
        if manager.is_authorized_dag(
            method=method,
            access_entity=DagAccessEntity.RUN,
            details=DagDetails(id=each, team_name=teams.get(each)),
            user=user,
        )
    }
