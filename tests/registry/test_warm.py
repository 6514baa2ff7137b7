"""Who stays warm: the newest of each recipe before anybody else, within the number allowed."""

from hypothesis import given
from hypothesis import strategies as st

from fraud.registry.manifests import Batches, PackedManifest
from fraud.registry.version import VersionState
from fraud.registry.warm import let_go


def pending(recipes: list[str]) -> list[VersionState]:
    """Challengers of these recipes, oldest first."""
    return [
        VersionState(f"card-{n}", "card", recipe, "", "", n, 1, n, n, PackedManifest.of({}, Batches()), n, n)
        for n, recipe in enumerate(recipes, 1)
    ]


def test_an_older_challenger_that_is_the_last_of_its_recipe_stays() -> None:
    given_ = pending(["hardened", "full", "recent", "full", "recent", "full", "recent"])
    assert [each.version for each in let_go(given_, 4)] == ["card-2", "card-3", "card-4"]
    assert [each.version for each in let_go(given_, 2)] == ["card-1", "card-2", "card-3", "card-4", "card-5"]


@given(st.lists(st.sampled_from("abcd"), max_size=14), st.integers(0, 8))
def test_as_many_recipes_as_can_be_stay_and_the_newest_beside_them(recipes: list[str], most: int) -> None:
    waiting = pending(recipes)
    gone = let_go(waiting, most)
    kept = [each for each in waiting if each not in gone]
    assert len(kept) == min(most, len(waiting))
    assert len({each.recipe for each in kept}) == min(most, len(set(recipes)))
    last = {each.recipe: each.version for each in waiting}
    spare = [each for each in kept if last[each.recipe] != each.version]
    let = [each for each in gone if last[each.recipe] != each.version]
    assert not spare or not let or spare[0].created_seq > let[-1].created_seq
