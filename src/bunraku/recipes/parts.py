"""PARTS: the name of every part that a recipe may have -> the classes it may be of, and where they come from."""

GUIDERS = {name: "bunraku.nets.pose_guider" for name in ("PoseGuider", "LiteralPoseGuider", "GuidanceEncoder")}

PARTS: dict[str, dict[str, str]] = {
    "denoiser": {"Denoiser": "bunraku.nets.denoiser"},
    "reference_net": {"ReferenceNet": "bunraku.nets.reference_net"},
    "pose_guider": GUIDERS | {"PoseModulation": "bunraku.nets.pose_modulation"},
    "object_guider": {"ObjectGuider": "bunraku.nets.object_guider"},
    "reference_pose_guider": GUIDERS,
    "flow_guider": GUIDERS,
    "depth_order_guider": GUIDERS,
    "structured_depth_guider": GUIDERS,
    "controlnet": {"ControlNet": "bunraku.nets.controlnet"},
    "image_encoder": {"CLIPVisionModelWithProjection": "transformers"},
    "pose_refiner": {"PoseRefiner": "bunraku.cues.pose_refiner"},
    "prompt": {"ConstantToken": "bunraku.nets.constant_token"},
}
"""Models on disk name the classes of their parts; only these are ever opened."""

AUTOENCODERS = {
    "AutoencoderKL": "diffusers",
    "PatchCodec": "bunraku.nets.patch_codec",
    "PictureCodec": "bunraku.nets.picture_codec",
}
"""What the part `vae` of a model may be, which no recipe has of its own."""
