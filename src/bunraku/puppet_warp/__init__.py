"""The classical cut-out: the figure of a still, cut into paper pieces and moved limb by limb; needs no weights."""

from bunraku.puppet_warp.warp import TRANSPARENT, CutOut, PuppetWarp

PUPPET_WARP = "puppet-warp"
"""What commands and reports call it."""

__all__ = ["PUPPET_WARP", "TRANSPARENT", "CutOut", "PuppetWarp"]
