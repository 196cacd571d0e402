"""ComfyUI nodes. This folder, or a link to it, in ComfyUI's custom_nodes is all that ComfyUI needs beside an installed bunraku."""

try:
    from bunraku.apps.comfyui.nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS
except ModuleNotFoundError as error:
    if error.name != "bunraku":
        raise
    raise ModuleNotFoundError(
        "the bunraku nodes need bunraku in ComfyUI's own Python: python -m pip install 'bunraku[comfyui]'",
        name="bunraku",
    ) from error

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
