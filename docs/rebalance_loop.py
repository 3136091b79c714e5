"""A rebalance loop of your own, on four ranks: `python docs/rebalance_loop.py` (it needs torch).

Each rank counts the tokens of its own requests. The counts are summed, every rank plans for itself, the
digests are compared, and weights move step by step. The weights here are numbers that say which expert
they are, so that the loop can check that each lies where the map says.
"""

from __future__ import annotations

import socket

import eplb
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

RANKS, LAYERS, EXPERTS, SLOTS, WINDOWS = 4, 3, 64, 80, 12
PER_RANK = SLOTS // RANKS


def weights_of(layer: int, expert: int) -> torch.Tensor:
    """The weights of an expert."""
    return torch.full((8,), float(1000 * layer + expert))


def rank_loop(rank: int, port: int) -> None:
    """What a rank does."""
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=RANKS)
    windows = eplb.sampling.sample(
        seed=5, layers=LAYERS, experts=EXPERTS, windows=WINDOWS, tokens=4000
    )
    balancer = eplb.Balancer()
    phy2log = torch.arange(SLOTS).remainder(EXPERTS).repeat(LAYERS, 1)
    weights = {
        (layer, slot): weights_of(layer, int(phy2log[layer, slot]))
        for layer in range(LAYERS)
        for slot in range(rank * PER_RANK, (rank + 1) * PER_RANK)
    }
    for window in windows:
        # This rank saw a part of the tokens.
        load = torch.as_tensor(window) * (rank + 1) // 10
        dist.all_reduce(load)
        update = balancer.step(load, phy2log, num_gpus=RANKS)
        check_digests(balancer.digest())
        apply(update.transfers(), weights, rank)
        phy2log = torch.tensor(update.plan.phy2log)
        check_weights(weights, phy2log)
        if rank == 0:
            before = update.before
            reached = "none" if before is None else f"{before.balancedness.mean():.3f}"
            copies = int(update.copies.sum())
            print(
                f"in force {reached}, updated {update.plan.balancedness.mean():.3f}, copies {copies}"
            )
    dist.destroy_process_group()


def check_weights(weights: dict[tuple[int, int], torch.Tensor], phy2log: torch.Tensor) -> None:
    """Stops if weights are not where the map says."""
    for (layer, slot), held in weights.items():
        if not torch.equal(held, weights_of(layer, int(phy2log[layer, slot]))):
            raise RuntimeError(f"layer {layer}, slot {slot} has other weights")


def check_digests(digest: str) -> None:
    """Stops if ranks have other histories or plans: one may have another version of eplb."""
    digests: list[str] = [""] * RANKS
    dist.all_gather_object(digests, digest)
    if len({*digests}) > 1:
        raise RuntimeError(f"ranks disagree: {digests}")


def apply(
    transfers: eplb.Transfers, weights: dict[tuple[int, int], torch.Tensor], rank: int
) -> None:
    """Moves weights. A real engine switches its map after each step of a layer."""
    table = transfers.table
    for layer in range(LAYERS):
        of_layer = table[table["layer"] == layer]
        for step in range(int(of_layer["step"].max(initial=-1)) + 1):
            arrived, waiting = {}, []
            for tag, one in enumerate(of_layer[of_layer["step"] == step]):
                source, destination = int(one["source_gpu"]), int(one["destination_gpu"])
                slot = (layer, int(one["destination_slot"]))
                if source == rank:
                    sent = weights[layer, int(one["source_slot"])].clone()
                    if destination == rank:
                        arrived[slot] = sent
                    else:
                        waiting.append(dist.isend(sent, destination, tag=tag))
                elif destination == rank:
                    arrived[slot] = torch.empty(8)
                    waiting.append(dist.irecv(arrived[slot], source, tag=tag))
            for work in waiting:
                work.wait()
            weights.update(arrived)


def main() -> None:
    """Starts the ranks."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(rank_loop, args=(port,), nprocs=RANKS)


if __name__ == "__main__":
    main()
