"""Recipes: one file per paper."""

from bunraku.errors import BunrakuError
from bunraku.recipes.animate_anyone import ANIMATE_ANYONE
from bunraku.recipes.recipe import Recipe, Size, Stage
from bunraku.recipes.tcan import TCAN

RECIPES = {recipe.name: recipe for recipe in (ANIMATE_ANYONE, TCAN)}


def get_recipe(name: str) -> Recipe:
    """The recipe of that name; an unknown one is an error that lists them."""
    if name not in RECIPES:
        raise BunrakuError(f"unknown recipe {name!r}; there are {', '.join(RECIPES)}")
    return RECIPES[name]


__all__ = ["RECIPES", "Recipe", "Size", "Stage", "get_recipe"]
