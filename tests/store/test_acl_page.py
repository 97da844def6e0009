"""The users of docs/servers.md on other servers than the one that most tests have."""

from examples.orders.domain import Item, Order, domain
from tests.projections.domain import view_of, working
from tests.store.cluster_server import TestCluster
from tests.store.plain_server import ask
from tests.store.users import PAGE, QUOTED, documented
from whence import Runtime
from whence.projections.status import wait_until_caught_up
from whence.store.eventstore import open_store

ORDER_LIST = domain.read_model.projection("order-list")


def test_the_page_has_a_user_for_each_role() -> None:
    assert set(documented()) == {"writer", "worker", "reader"}


def test_redis_takes_the_users_as_well_but_for_what_the_page_names(redis_url: str) -> None:
    assert "Redis 7.0 does not know `client|setinfo`" in PAGE
    for name, rules in documented().items():
        known = [rule for rule in rules if rule != "+client|setinfo"]
        assert ask(redis_url, "ACL", "SETUSER", name, *known) == b"OK"
        ask(redis_url, "ACL", "DELUSER", name)


async def test_with_the_users_on_every_server_of_a_cluster_it_is_the_same(
    cluster: TestCluster, namespace: str
) -> None:
    for node in cluster.servers:
        for name, rules in documented().items():
            own = [rule.replace("whence:", f"{namespace}:") for rule in rules]
            node.ask("ACL", "SETUSER", name, "reset", *own)
    writer, worker = (
        cluster.url.replace("://", f"://{name}:{QUOTED}@") for name in ("writer", "worker")
    )
    async with (
        open_store(writer, namespace=namespace) as store,
        open_store(worker, namespace=namespace) as theirs,
        Runtime(store, domain.write_model) as runtime,
        working(theirs, domain.read_model),
    ):
        for id_ in "abcdefgh":
            await runtime.send(Order.place, id_, user_id="ann", items=(Item("book", 2, 1500),))
        await wait_until_caught_up(store, ORDER_LIST)
        assert len(await view_of(store, ORDER_LIST)) == 8
    for node in cluster.servers:
        assert node.ask("ACL", "LOG") == []
        for name in documented():
            node.ask("ACL", "DELUSER", name)
