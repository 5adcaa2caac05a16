"""CronJobs: a Job at each time of a schedule.

`schedule` knows when (pure), `controller` makes the Jobs.
"""

from container_kit.cluster.controllers.cronjobs.controller import CronJobController

__all__ = ["CronJobController"]
