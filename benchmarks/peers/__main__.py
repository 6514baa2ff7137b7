"""`python -m benchmarks.peers make NAME`: make the environment of a peer."""

import argparse

from benchmarks.peers.environments import PEERS


def main() -> None:
    """Make what is asked for; list what is there otherwise."""
    arguments = argparse.ArgumentParser(description="Environments of the peers that benchmarks compare with.")
    arguments.add_argument("action", choices=("make", "list"))
    arguments.add_argument("name", nargs="*", choices=[[], *PEERS], help="default: all")
    given = arguments.parse_args()
    for name in given.name or PEERS:
        peer = PEERS[name]
        if given.action == "make":
            print(f"{name}: installing {', '.join(peer.packages)} into {peer.folder}")
            peer.make()
        print(f"{name}: {'ready' if peer.is_made else 'not made'}")


if __name__ == "__main__":
    main()
