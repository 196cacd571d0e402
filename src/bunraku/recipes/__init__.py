"""Recipes: one file per paper."""

import inspect

from bunraku.errors import BunrakuError
from bunraku.recipes.animate_anyone import ANIMATE_ANYONE
from bunraku.recipes.animate_anyone_2 import ANIMATE_ANYONE_2
from bunraku.recipes.animator import MOST_PICTURES, REFERENCE_AND_POSE, Animator, Encoded, Inputs, Reads
from bunraku.recipes.bunraku import BUNRAKU
from bunraku.recipes.multi_character import MULTI_CHARACTER
from bunraku.recipes.parts import PARTS
from bunraku.recipes.recipe import Recipe, Size, Stage
from bunraku.recipes.tcan import TCAN_RECIPE

RECIPES = {recipe.name: recipe for recipe in (ANIMATE_ANYONE, TCAN_RECIPE, MULTI_CHARACTER, ANIMATE_ANYONE_2, BUNRAKU)}


def get_recipe(name: str) -> Recipe:
    """The recipe of that name; an unknown one is an error that lists them."""
    if name not in RECIPES:
        raise BunrakuError(f"unknown recipe {name!r}; there are {', '.join(RECIPES)}")
    return RECIPES[name]


def part_names(recipe: str, needed: bool = False) -> tuple[str, ...]:
    """Names of the parts that a recipe's animator is made of; if `needed`, without those that it may lack."""
    parameters = inspect.signature(get_recipe(recipe).animator.__init__).parameters.values()
    return tuple(one.name for one in parameters if one.name in PARTS and (one.default is one.empty or not needed))


__all__ = [
    "MOST_PICTURES",
    "RECIPES",
    "REFERENCE_AND_POSE",
    "Animator",
    "Encoded",
    "Inputs",
    "Reads",
    "Recipe",
    "Size",
    "Stage",
    "get_recipe",
    "part_names",
]
