"""What the scheduler knows: every node with its pods, and counts of pods over nodes that are asked for again.

Changes come from watches, and from the scheduler itself, which counts a pod as placed (*assumed*) as soon as
it has decided, before the server has heard of it.

Two things make thousands of placements cheap, and both live here.  The *journal* names the nodes that
changed, so that whoever remembers something about nodes looks again at these few only.  *Counts* say how
many pods that someone asks for are on each node, and are kept up to date with each pod that comes or goes.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Mapping

from container_kit.cluster.meta import Object
from container_kit.cluster.scheduler.nodes import NodeInfo
from container_kit.cluster.scheduler.pods import PodInfo, Term

__all__ = ["ClusterState", "PodCounts"]

_JOURNAL_LIMIT = 20_000
_COUNTS_LIMIT = 64
_NO_LABELS: Mapping[str, str] = {}


class PodCounts:
    """How many of the pods that *wanted* accepts are on each node; nodes without any are absent."""

    __slots__ = ("by_node", "wanted")

    def __init__(self, wanted: Callable[[PodInfo], bool]) -> None:
        self.wanted = wanted
        self.by_node: dict[str, int] = {}

    def change(self, node_name: str, pod: PodInfo, sign: int) -> None:
        """A pod came (1) or went (-1)."""
        if self.wanted(pod):
            count = self.by_node.get(node_name, 0) + sign
            if count:
                self.by_node[node_name] = count
            else:
                del self.by_node[node_name]


class ClusterState:
    """Nodes, the pods on them, and who waits for room on one."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeInfo] = {}  # only those with a Node object
        self.journal: list[str] = []
        self.journal_start = 0  # how many entries were dropped
        self.nominated: dict[str, dict[str, PodInfo]] = {}
        self.namespaces: dict[str, Mapping[str, str]] = {}
        self.foes: dict[Term, Counter[str]] = {}  # terms of placed pods that keep others away, by node
        self.friends: dict[Term, Counter[str]] = {}  # terms of placed pods that draw others, weighted
        self._all: dict[str, NodeInfo] = {}
        self._places: dict[str, tuple[PodInfo, NodeInfo]] = {}
        self._counts: OrderedDict[Hashable, PodCounts] = OrderedDict()
        self._images: Counter[str] = Counter()

    # Nodes.

    def set_node(self, name: str, node: Object | None) -> None:
        """Take over a Node as it is now; None when it is gone."""
        info = self._info(name)
        self._images.subtract(info.images.keys())
        info.update(node)
        self._images.update(info.images.keys())
        if node is None:
            self.nodes.pop(name, None)
            if not info.pods:
                del self._all[name]
        else:
            self.nodes[name] = info
        self._changed(name)

    def _info(self, name: str) -> NodeInfo:
        info = self._all.get(name)
        if info is None:
            info = self._all[name] = NodeInfo(name)
        return info

    def image_share(self, image: str) -> float:
        """Which part of all nodes has an image."""
        return self._images[image] / max(1, len(self.nodes))

    def _changed(self, name: str) -> None:
        self.journal.append(name)
        if len(self.journal) > _JOURNAL_LIMIT:
            half = _JOURNAL_LIMIT // 2
            del self.journal[:half]
            self.journal_start += half

    # Pods on nodes.

    def pod(self, uid: str) -> PodInfo | None:
        """A pod that is on a node, as it was counted."""
        place = self._places.get(uid)
        return place[0] if place else None

    def place_of(self, uid: str) -> str | None:
        """The node on which a pod is, or is assumed to be."""
        place = self._places.get(uid)
        return place[1].name if place else None

    def add_pod(self, pod: PodInfo, node_name: str) -> None:
        """A pod is on a node; one that was counted before is counted as it is now."""
        self.remove_pod(pod.uid)
        info = self._info(node_name)
        info.add(pod)
        self._places[pod.uid] = pod, info
        self._count(pod, info, 1)

    def remove_pod(self, uid: str) -> PodInfo | None:
        """A pod is on no node any more; returns it as it was counted."""
        place = self._places.pop(uid, None)
        if place is None:
            return None
        pod, info = place
        info.remove(pod)
        self._count(pod, info, -1)
        if not info.pods and info.node is None:
            self._all.pop(info.name, None)
        return pod

    def _count(self, pod: PodInfo, info: NodeInfo, sign: int) -> None:
        self._changed(info.name)
        for counts in self._counts.values():
            counts.change(info.name, pod, sign)
        shape = pod.shape
        for term in shape.anti_affinity:
            _add(self.foes, term, info.name, sign)
        for term in shape.affinity:  # who needs company is glad of more of it, a little
            _add(self.friends, term, info.name, sign)
        for weight, term in shape.preferred:
            _add(self.friends, term, info.name, sign * weight)

    def counts(self, key: Hashable, wanted: Callable[[PodInfo], bool]) -> PodCounts:
        """How many pods that *wanted* accepts are on each node; *key* is the same for the same question."""
        found = self._counts.get(key)
        if found is None:
            found = self._counts[key] = PodCounts(wanted)
            for pod, info in self._places.values():
                found.change(info.name, pod, 1)
            if len(self._counts) > _COUNTS_LIMIT:
                self._counts.popitem(last=False)
        else:
            self._counts.move_to_end(key)
        return found

    # Namespaces, and pods for which room is being made.

    def set_namespace(self, name: str, labels: Mapping[str, str] | None) -> None:
        """Take over the labels of a namespace; None when it is gone."""
        if self.namespaces.get(name) != labels:
            self.namespaces.pop(name, None)
            if labels is not None:
                self.namespaces[name] = labels
            self._counts.clear()  # terms may mean namespaces by their labels

    def namespace_labels(self, name: str) -> Mapping[str, str]:
        """The labels of a namespace, for terms that select namespaces by them."""
        return self.namespaces.get(name, _NO_LABELS)

    def nominate(self, pod: PodInfo, node_name: str) -> None:
        """Room is being made for *pod* on a node: nobody of lower priority may take it. ``""`` ends it."""
        self.nominate_end(pod.uid)
        if node_name:
            self.nominated.setdefault(node_name, {})[pod.uid] = pod

    def nominate_end(self, uid: str) -> None:
        """No room is kept for a pod any more."""
        if self.nominated:
            for waiting in self.nominated.values():
                waiting.pop(uid, None)
            self.nominated = {name: waiting for name, waiting in self.nominated.items() if waiting}


def _add(table: dict[Term, Counter[str]], term: Term, node_name: str, amount: int) -> None:
    """Counts of zero go, so that the table holds only what counts."""
    counter = table.setdefault(term, Counter())
    counter[node_name] += amount
    if not counter[node_name]:
        del counter[node_name]
        if not counter:
            del table[term]
