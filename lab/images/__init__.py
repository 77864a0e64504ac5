"""Images by content: a config in the OCI's form, and layers; the config's SHA-256 is the image's id.

names     how images are called
image     one image, as the engines see it
store     all images below a directory: find, list, sweep; nothing is ever downloaded
library   the same with its verbs, each in a module below
config    the OCI image config: checked, made for an import, continued by a commit
changes   `--change`: instructions of a Dockerfile that set a field of the config
making    import, load, commit: how an image comes into the store
archive   what `docker save`, `podman save` and skopeo write, read with suspicion
saved     the same, written
removal   rmi and prune, with docker's reference counts
views     an image as `docker image inspect`, `history` and `images` show it
filters   `images --filter`
old       what version 0.2 of the lab has left on disk
"""

from lab.images.image import Image
from lab.images.library import Images
from lab.images.names import HOST, check_name, normalize, split_tag

__all__ = ["HOST", "Image", "Images", "check_name", "normalize", "split_tag"]
