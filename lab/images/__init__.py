"""Images by content: a config in the OCI's form, and layers; the config's SHA-256 is the image's id.

names     how images are called
image     one image, as the engines see it
store     all images below a directory: find, list, tag, remove; nothing is ever downloaded
config    the OCI image config: checked, made for an import, continued by a commit
changes   `--change`: instructions of a Dockerfile that set a field of the config
making    import, load, commit: how an image comes into the store
archive   what `docker save`, `podman save` and skopeo write, read with suspicion
saved     the same, written
filters   `images --filter`
old       what version 0.2 of the lab has left on disk
"""

from lab.images.image import Image
from lab.images.names import HOST, check_name, normalize, split_tag
from lab.images.store import Images

__all__ = ["HOST", "Image", "Images", "check_name", "normalize", "split_tag"]
