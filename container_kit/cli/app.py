"""The table of all commands, and how an invocation ends: exit codes and messages of errors.

Exit codes are docker's: 125 for a wrong command line or a container that could not be made, 126 and
127 for a program that cannot be executed or found, 128+n for signal n, else the program's own.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from container_kit._version import __version__
from container_kit.cli.lazy import LazyGroup, Row
from container_kit.cli.not_yet import explained, without_command
from container_kit.cli.session import Session, print_error
from container_kit.errors import ContainerKitError, StartFailed

__all__ = ["cli", "run_app", "run_command"]

_USAGE_ERROR = 125
_INTERRUPTED = 130
# How click from 8.2 on tells that a group was called alone; before, it printed the help by itself.
_NO_COMMAND: Any = getattr(click.exceptions, "NoArgsIsHelpError", ())
_HELP = {"help_option_names": ["--help"], "max_content_width": 110}

CONTAINER_COMMANDS: dict[str, Row] = {
    "attach": ("streams:attach", "Attach standard streams to a running container"),
    "commit": ("copying:commit", "Make an image from a container's changes"),
    "cp": ("copying:cp", "Copy files between a container and this host"),
    "create": ("run:create", "Create a container without starting it"),
    "diff": ("copying:diff", "List the paths that a container changed"),
    "exec": ("run:exec_", "Execute a command in a running container"),
    "export": ("copying:export", "Write a container's file system as a tar archive"),
    "kill": ("lifecycle:kill", "Send a signal to containers (SIGKILL)"),
    "logs": ("streams:logs", "Show what a container wrote"),
    "pause": ("lifecycle:pause", "Freeze all processes of containers"),
    "port": ("networks:port", "Show where the ports of a container are published"),
    "rename": ("lifecycle:rename", "Give a container another name"),
    "restart": ("lifecycle:restart", "Stop containers and start them again"),
    "rm": ("lifecycle:rm", "Remove containers"),
    "run": ("run:run", "Create and start a container"),
    "start": ("lifecycle:start", "Start containers"),
    "stats": ("watching:stats", "Show what containers use, live"),
    "stop": ("lifecycle:stop", "Stop containers: the stop signal first, SIGKILL after a while"),
    "top": ("watching:top", "Show the processes of a container"),
    "unpause": ("lifecycle:unpause", "Let frozen containers go on"),
    "update": ("lifecycle:update", "Change the limits of containers"),
    "wait": ("lifecycle:wait", "Wait until containers end, and print their exit codes"),
}
IMAGE_COMMANDS: dict[str, Row] = {
    "build": ("building:build", "Make an image as a Dockerfile says"),
    "history": ("images:history", "Show how an image was made"),
    "import": ("images:import_", "Make an image from a tar archive of a file system"),
    "load": ("images:load", "Load images from an archive"),
    "pull": ("registries:pull", "Fetch an image from its registry"),
    "push": ("registries:push", "Send an image to a registry"),
    "save": ("images:save", "Write images to an archive"),
    "tag": ("images:tag", "Give an image another name"),
}
SYSTEM_COMMANDS: dict[str, Row] = {
    "df": ("system:df", "Show what uses space"),
    "events": ("watching:events", "Show what happens to containers and images"),
    "fsck": ("system:fsck", "Check, and repair, every stored byte"),
    "info": ("system:info", "Show facts about this engine and this host"),
    "prune": ("system:prune", "Remove what nothing uses"),
}
TOP_COMMANDS: dict[str, Row] = {
    **CONTAINER_COMMANDS,
    **IMAGE_COMMANDS,
    "builder": ("app:builder_group", "Manage the build cache"),
    "cluster": ("app:cluster_group", "Manage Kubernetes clusters in processes of their own"),
    "completion": ("completion:completion", "Print the completion script for bash, zsh or fish"),
    "container": ("app:container_group", "Manage containers"),
    "doctor": ("doctor:doctor", "Show what this host allows, what is missing, and how to enable it"),
    "events": SYSTEM_COMMANDS["events"],
    "image": ("app:image_group", "Manage images"),
    "images": ("images:images", "List images"),
    "info": SYSTEM_COMMANDS["info"],
    "kube": ("app:kube_group", "kubectl's words for clusters; Kubernetes files played without one"),
    "inspect": ("inspecting:inspect", "Show all about containers, images, networks and volumes, as JSON"),
    "manifest": ("app:manifest_group", "Make names that stand for images of several platforms"),
    "login": ("registries:login", "Try credentials at a registry, and keep them"),
    "logout": ("registries:logout", "Forget the credentials for a registry"),
    "network": ("app:network_group", "Manage networks"),
    "pod": ("app:pod_group", "Manage pods: containers that live together"),
    "ps": ("listing:ps", "List containers"),
    "registry": ("app:registry_group", "Serve and manage a registry of our own"),
    "rmi": ("images:rmi", "Remove images"),
    "runtime": ("runtime:runtime", "OCI runtime commands, for other engines"),
    "search": ("registries:search", "Look through the catalogue of a registry"),
    "system": ("app:system_group", "Manage the store"),
    "version": ("system:version", "Show the versions of this program"),
    "volume": ("app:volume_group", "Manage volumes"),
}

pod_group = LazyGroup(
    "pod",
    help="Manage pods: containers that live together.",
    table={
        "create": ("pods:create", "Create the pods in a Kubernetes file, without starting them"),
        "inspect": ("pods:inspect", "Show all about pods, as JSON"),
        "kill": ("pods:kill", "Send a signal to all containers of pods"),
        "logs": ("pods:logs", "Show what the containers of a pod wrote"),
        "ls": ("pods:ls", "List pods"),
        "prune": ("pods:prune", "Remove the pods of which nothing runs"),
        "ps": ("pods:ps", "List the containers of pods"),
        "restart": ("pods:restart", "Stop pods and start them again"),
        "rm": ("pods:rm", "Remove pods with their containers"),
        "start": ("pods:start", "Start pods"),
        "stats": ("pods:stats", "Show what the containers of pods use now"),
        "stop": ("pods:stop", "Stop pods: all containers, sidecars last"),
    },
)
kube_group = LazyGroup(
    "kube",
    help="kubectl's words for any cluster; and Kubernetes files played without one.",
    table={
        "annotate": ("kubectl.changing:annotate", "Set annotations of objects"),
        "api-resources": ("kubectl.facts:api_resources", "List the kinds that a server has"),
        "apply": ("kubectl.changing:apply", "Make objects be as written in files"),
        "attach": ("kubectl.streaming:attach", "Connect to the program in a container"),
        "config": ("kubectl.facts:config", "Show the kubeconfig that is in force"),
        "cordon": ("kubectl.rolling:cordon", "Let no new pods come to nodes"),
        "cp": ("kubectl.streaming:cp", "Copy files into a container or out of it"),
        "create": ("kubectl.changing:create", "Make new objects"),
        "delete": ("kubectl.changing:delete", "Delete objects"),
        "describe": ("kubectl.getting:describe", "Show objects with what happened to them"),
        "down": ("kube:down", "Stop and remove the pods that were made of a file"),
        "drain": ("kubectl.rolling:drain", "Take a node out of use"),
        "events": ("kubectl.facts:events", "List what happened"),
        "exec": ("kubectl.streaming:exec_", "Run a program in a container of a pod"),
        "explain": ("kubectl.explaining:explain", "Show what a kind or a field is"),
        "generate": ("kube:generate", "Write the Kubernetes file of pods, containers and volumes"),
        "get": ("kubectl.getting:get", "Show objects"),
        "label": ("kubectl.changing:label", "Set labels of objects"),
        "logs": ("kubectl.streaming:logs", "Show what the containers of pods have written"),
        "patch": ("kubectl.changing:patch", "Change a part of an object"),
        "play": ("kube:play", "Make and start the pods in a file"),
        "port-forward": ("kubectl.streaming:port_forward", "Lead local ports to a pod"),
        "rollout": ("kubectl.rolling:rollout", "Look after the rollout of a workload"),
        "run": ("kubectl.streaming:run", "Run a program in a pod of its own"),
        "scale": ("kubectl.changing:scale", "Ask for a number of replicas"),
        "top": ("kubectl.facts:top", "Show what pods or nodes use"),
        "uncordon": ("kubectl.rolling:uncordon", "Let pods come to nodes again"),
        "version": ("kubectl.facts:version", "Show the versions of this program and of the server"),
        "wait": ("kubectl.rolling:wait", "Wait until objects are as wanted"),
    },
)
container_group = LazyGroup(
    "container",
    help="Manage containers.",
    table={
        **CONTAINER_COMMANDS,
        "inspect": ("inspecting:inspect_container", "Show all about containers, as JSON"),
        "ls": ("listing:ps", "List containers"),
        "prune": ("lifecycle:prune_containers", "Remove containers that are not running"),
    },
)
image_group = LazyGroup(
    "image",
    help="Manage images.",
    table={
        **IMAGE_COMMANDS,
        "copy": ("image_copying:copy", "Copy an image between registries, layouts, archives and the store"),
        "inspect": ("inspecting:inspect_image", "Show all about images, as JSON"),
        "ls": ("images:images", "List images"),
        "prune": ("images:prune_images", "Remove images that no name and no container needs"),
        "rm": ("images:rmi", "Remove images"),
        "sign": ("signing:sign", "Sign an image in its registry"),
        "verify": ("signing:verify", "Make sure that an image in its registry is signed"),
    },
)
builder_group = LazyGroup(
    "builder",
    help="Manage the build cache.",
    table={
        "build": IMAGE_COMMANDS["build"],
        "du": ("builder:du", "Show what the build cache keeps"),
        "prune": ("builder:prune", "Remove what the build cache keeps"),
    },
)
cluster_group = LazyGroup(
    "cluster",
    help="Manage Kubernetes clusters in processes of their own.",
    table={
        "kubeconfig": ("clusters:kubeconfig", "Print how kubectl reaches a cluster"),
        "ls": ("clusters:ls", "List clusters"),
        "rm": ("clusters:rm", "Remove clusters with all that they hold"),
        "start": ("clusters:start", "Start a cluster"),
        "status": ("clusters:status", "Show one cluster"),
        "stop": ("clusters:stop", "Stop clusters; their objects stay"),
    },
)
manifest_group = LazyGroup(
    "manifest",
    help="Make names that stand for images of several platforms.",
    table={
        "annotate": ("manifests:annotate", "Say what platform an image of a list is for"),
        "create": ("manifests:create", "Begin a list of images, to be annotated and pushed"),
        "inspect": ("manifests:inspect", "Show a list, or the manifest of an image in its registry"),
        "push": ("manifests:push", "Send a list, with its images, to its registry"),
        "rm": ("manifests:rm", "Forget lists that are kept here"),
    },
)
network_group = LazyGroup(
    "network",
    help="Manage networks.",
    table={
        "connect": ("networks:connect", "Bring a container onto a network, also while it runs"),
        "create": ("networks:create", "Create a network"),
        "disconnect": ("networks:disconnect", "Take a container off a network, also while it runs"),
        "inspect": ("networks:inspect", "Show all about networks, as JSON"),
        "ls": ("networks:ls", "List networks"),
        "prune": ("networks:prune", "Remove all networks that no container is on"),
        "rm": ("networks:rm", "Remove networks that no container is on"),
    },
)
registry_group = LazyGroup(
    "registry",
    help="Serve and manage a registry of our own.",
    table={
        "gc": ("registry:gc", "Remove what no image of the registry needs"),
        "ls": ("registry:ls", "List the images of the registry"),
        "serve": ("registry:serve", "Serve a registry"),
    },
)
volume_group = LazyGroup(
    "volume",
    help="Manage volumes.",
    table={
        "create": ("volumes:create", "Create a volume"),
        "export": ("volumes:export", "Write the content of a volume as a tar archive"),
        "import": ("volumes:import_", "Create a volume with what a tar archive has"),
        "inspect": ("volumes:inspect", "Show all about volumes, as JSON"),
        "ls": ("volumes:ls", "List volumes"),
        "prune": ("volumes:prune", "Remove volumes that no container uses"),
        "rm": ("volumes:rm", "Remove volumes"),
        "snapshot": ("volumes:snapshot", "Create a volume with the content of another one"),
    },
)
system_group = LazyGroup("system", help="Manage the store.", table=SYSTEM_COMMANDS)


class _App(LazyGroup):
    """Turns the library's errors into one sentence and docker's exit code."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = super().get_command(ctx, cmd_name)
        if command is None:
            without_command(ctx, cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ContainerKitError as error:
            # Here and not around `main`, which takes every EPIPE for a closed standard output.
            print_error(error)
            raise SystemExit(error.exit_code if isinstance(error, StartFailed) else 1) from error


@click.group(cls=_App, table=TOP_COMMANDS, context_settings=_HELP)
@click.option(
    "--root",
    envvar="CONTAINER_KIT_ROOT",
    metavar="DIRECTORY",
    type=click.Path(file_okay=False),
    help="Where images and containers are kept.",
)
@click.version_option(__version__, message="container-kit version %(version)s")
@click.pass_context
def cli(ctx: click.Context, root: str | None) -> None:
    """Containers without a daemon: the words of docker, in this process."""
    session = Session(root=root)
    ctx.obj = session
    ctx.call_on_close(session.close)


def run_app() -> None:
    """Run the command line and exit."""
    run_command(cli, os.path.basename(sys.argv[0]))


def run_command(command: click.Command, program: str) -> None:
    """Run *command* and exit; a wrong command line becomes one sentence and docker's exit code."""
    try:
        result = command.main(prog_name=program, standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(_INTERRUPTED)
    except click.UsageError as error:
        if isinstance(error, _NO_COMMAND) and error.ctx is not None:
            click.echo(error.ctx.get_help())
            sys.exit(0)
        explained(error).show()
        sys.exit(1 if command.name == "runtime" or _is_runtime(error.ctx) else _USAGE_ERROR)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    sys.exit(result if isinstance(result, int) else 0)


def _is_runtime(ctx: click.Context | None) -> bool:
    while ctx is not None:
        if ctx.info_name == "runtime":
            return True
        ctx = ctx.parent
    return False
