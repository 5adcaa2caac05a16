"""Jobs: pods until enough have succeeded, each counted once.

`indexes` reads and writes sets of completion indexes, `words` knows what makes a pod one of a Job, `policies`
what its end means, `view` all that decisions depend on, `decisions` what is to be done; all of them are pure.
`controller` reads, asks them and writes.
"""

from container_kit.cluster.controllers.jobs.controller import JobController

__all__ = ["JobController"]
