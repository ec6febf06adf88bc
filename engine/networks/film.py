"""A U-Net for films: every hour is a map, and the floors of neighbouring hours tell each other what they see.

All hours go through one U-Net (`engine.networks.unet`), so it learns what rain looks like from each of them.
After a floor a cell hears of itself `NEAR` hours before and after, through a layer that begins as nothing:
what moves is followed on the lower floors, where a cell is as large as an hour's way. (Hours as channels of
one map would have to pass the first floor together, and its width is less than what they hold.)
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.networks.unet import Floor, UNet, nothing

NEAR = 2  # hours that a floor looks back, and ahead


class FilmNet(nn.Module):
    """Films are (n, channels x hours, rows, columns), and so is what is told of them; ``fixed`` maps more
    hold for all hours."""

    def __init__(self, hours: int, channels: int, told: int, fixed: int, **network: Any) -> None:
        super().__init__()
        self.hours, self.told, self.fixed = hours, told, fixed
        self.map = UNet(channels, told + fixed, says=channels, **network)
        self.unit = self.map.unit
        for floors in (self.map.down, self.map.up):
            for number, floor in enumerate(floors):
                assert isinstance(floor, Floor)
                floors[number] = Exchange(floor, hours)
        self.hour = nn.Parameter(torch.zeros(hours, self.map.told))

    def forward(self, x: Tensor, level: Tensor, told: Tensor) -> Tensor:
        count, shape = len(x), x.shape[-2:]
        known, fixed = told[:, : self.told * self.hours], told[:, self.told * self.hours :]
        fixed = fixed[:, None].expand(-1, self.hours, -1, -1, -1).flatten(0, 1)
        about = self.hour
        if len(level) > 1:
            level, about = level.repeat_interleave(self.hours), about.repeat(count, 1)
        said = self.map(self._maps(x), level, self._maps(known), fixed, about=about)
        return said.reshape(count, self.hours, -1, *shape).transpose(1, 2).reshape(x.shape)

    def _maps(self, film: Tensor) -> Tensor:
        """Hours one by one, (n x hours, channels, rows, columns)."""
        return film.unflatten(1, (-1, self.hours)).transpose(1, 2).flatten(0, 1)


class Exchange(nn.Module):
    """A floor, and what its cells hear of other hours."""

    def __init__(self, floor: Floor, hours: int) -> None:
        super().__init__()
        self.floor, self.hours, width = floor, hours, floor.width
        self.norm = nn.Sequential(nn.GroupNorm(1, width), nn.SiLU())
        self.hear = nothing(nn.Conv2d((2 * NEAR + 1) * width, width, 1))

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        x = self.floor(x, told)
        film = self.norm(x).unflatten(0, (-1, self.hours))
        film = functional.pad(film, (0, 0, 0, 0, 0, 0, NEAR, NEAR))
        near = [film[:, shift : shift + self.hours] for shift in range(2 * NEAR + 1)]
        # one product a map: of all maps in one, the sums would be rounded by how many there are
        assert self.hear.bias is not None
        weight = self.hear.weight.flatten(1).expand(len(x), -1, -1)
        heard = torch.bmm(weight, torch.cat(near, 2).flatten(0, 1).flatten(2))
        return x + heard.reshape(x.shape) + self.hear.bias[:, None, None]
