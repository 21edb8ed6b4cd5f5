"""The comparison of a group of runs as a workspace of Weights & Biases."""

import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scorewise.errors import UserError
from scorewise.files import put_text
from scorewise.tracking.numbers import WITHOUT

COMPARABLE = ("fisher_error", "nll", "bits_per_dim", "csm")
"""Numbers that mean the same for every objective."""


def build_dashboard(config: dict[str, Any], known: Sequence[str]) -> str:
    """Make the workspace in W&B, or write its layout to a file, and return where it is.

    Args:
        config: project, entity, group, objectives, name and save, see conf/dashboard.yaml.
        known: every objective, for a layout that is only written.

    Raises:
        UserError: the extra is not installed, an objective is unknown, W&B cannot be reached, or the file cannot be
            written.
    """
    texts = ("project", "entity", "group", "name")  # a name that looks like a number is typed as one
    config = {**config, **{key: str(config[key]) for key in texts if config[key] is not None}}
    chosen, target = _chosen(config["objectives"], known), config["save"]
    try:
        import wandb
        import wandb_workspaces.workspaces  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"the dashboard needs {error.name}: install it with pip install 'scorewise[dashboard]'."
        ) from error
    if target:
        try:
            layout = workspace(config, config["entity"] or "", chosen or known)
        except ValueError as error:
            said = " ".join(str(error).split())
            raise UserError(f"W&B takes no such workspace: give it another name ({said}).") from error
        return str(_write(Path(target), layout))
    try:
        entity: Any = config["entity"] or wandb.Api().default_entity
        made = workspace(config, entity, chosen or _objectives(entity, config["project"], config["group"]))
        made.save()
    except (wandb.Error, OSError, ValueError) as error:
        raise UserError(
            f"W&B cannot be reached ({' '.join(str(error).split())}): log in with wandb login, "
            "or write the layout to a file with save=workspace.json."
        ) from error
    return str(made.url)


def _chosen(asked: object, known: Sequence[str]) -> list[str]:
    """Return the objectives that were asked for, one or a list; none where that is left to the group's runs.

    Raises:
        UserError: one of them is unknown.
    """
    names = [str(name) for name in (asked if isinstance(asked, list) else [asked])] if asked else []
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise UserError(
                f"objectives={name} is no objective{f'; did you mean {near[0]}?' if near else ''}: use those of "
                f"{', '.join(known)}, or leave it out for those of the group's runs, your own among them."
            )
    return names


def _write(path: Path, made: Any) -> Path:
    put_text(path, json.dumps(made._to_model().model_dump(by_alias=True, exclude_none=True), indent=1) + "\n")
    return path.absolute()


def _objectives(entity: str, project: str, group: str) -> list[str]:
    """Return the objectives of a group's runs.

    Raises:
        UserError: there is no run.
    """
    import wandb

    runs = wandb.Api().runs(f"{entity}/{project}", filters={"group": group})
    found = {str(run.config.get("choices", {}).get("objective", "none")) for run in runs}
    if not found:
        raise UserError(f"group={group} has no runs in {entity}/{project}: sync them first, or give objectives=[csm].")
    return sorted(found - {"none"})


def workspace(config: dict[str, Any], entity: str, objectives: Sequence[str]) -> Any:
    """Return the layout: what compares objectives first, then a panel per objective's loss, then pictures.

    Args:
        config: see `build_dashboard`.
        entity: user or team.
        objectives: each gets a panel, because their losses have different scales.
    """
    from wandb_workspaces import expr
    from wandb_workspaces.reports.v2 import BarPlot, LinePlot, MediaBrowser
    from wandb_workspaces.workspaces import RunsetSettings, Section, Workspace, WorkspaceSettings

    def lines(title: str, *names: str, **settings: Any) -> LinePlot:
        return LinePlot(title=title, x="Step", y=list(names), **settings)

    sections: dict[str, list[Any]] = {
        "Comparable: validation": [lines(name, f"val/{name}") for name in COMPARABLE],
        "Comparable: held out": [BarPlot(title=name, metrics=[f"test/{name}"]) for name in COMPARABLE],
        "Loss of each objective": [
            *(lines(f"loss of {name}", f"val/loss/{name}", f"train/loss/{name}") for name in objectives),
            lines("dsm without its constant, D / (2 sigma^2) on average", f"val/{WITHOUT}"),
        ],
        "Samples": [MediaBrowser(title="samples", media_keys=["samples"], mode="gallery", gallery_axis="run")],
        "Scores at validation examples": [
            lines(f"{kind} scores", f"val/{kind}_scores") for kind in ("conditional", "joint")
        ],
        "Gradient norms": [
            lines("model", "train/grad_norm", log_y=True),
            lines("score network of a VAE", "train/score_grad_norm", log_y=True),
        ],
    }
    return Workspace(
        entity=entity,
        project=config["project"],
        name=config["name"] or f"Scorewise: {config['group']}",
        sections=[Section(name=name, panels=panels, is_open=True) for name, panels in sections.items()],
        settings=WorkspaceSettings(x_axis="Step", max_runs=50, group_by_prefix="first"),
        runset_settings=RunsetSettings(filters=[expr.Metric("Group") == config["group"]]),
    )
