"""Actions of the worker `devops`, whose environment alone has `kubernetes`."""

import time

from tinpot import action


@action(group="DevOps", queue="devops", description="Deploy with Kubernetes")
def k8s_deploy(namespace: str = "default", watch: float = 0):
    # Not at the top of the file: every worker imports all files, and has the packages of its own
    # queues only.
    import kubernetes

    print(f"Deploying to {namespace}", flush=True)
    time.sleep(watch)
    return kubernetes.apply(namespace)


@action(group="Database", queue="devops", description="Migrate the schema of a database")
def migrate(database: str = "main"):
    print(f"Migrating {database}")
