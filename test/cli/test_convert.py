# SPDX-License-Identifier: Apache-2.0
"""`diception convert` on the command line."""

import pytest

from diception_ros.cli import main


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    from tiny_sd3 import write_tiny_sd3
    return write_tiny_sd3(tmp_path_factory.mktemp('published'))


def call(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


def test_it_makes_a_model_that_loads_and_says_what_it_holds(files, tmp_path, capsys):
    from diception_ros.model import DiceptionPipeline
    out = tmp_path / 'model'
    assert call('convert', '--sd3', files[0], '--diception', files[1], '--out', out, '--dtype',
                'float32', '--prompt', '[[image2semantic]] forklift') == 0
    said = capsys.readouterr().out
    for expected in ('transformer', 'vae', 'point_encoder', 'prompts', '87 prompts',
                     '81 categories', 'licence'):
        assert expected in ' '.join(said.split())
    assert 'semantic:forklift' in DiceptionPipeline.from_pretrained(out).tasks


def test_what_cannot_be_converted_is_one_line_and_status_1(files, tmp_path, capsys):
    assert call('convert', '--sd3', tmp_path, '--diception', files[1], '--out',
                tmp_path / 'model') == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and said[0].startswith('diception: sd3: ')
    assert not (tmp_path / 'model').exists()


def test_a_hub_name_without_a_network_says_so(files, tmp_path, capsys, monkeypatch):
    import huggingface_hub

    def offline(*arguments, **options):
        raise ConnectionError('no network\nand more')
    monkeypatch.setattr(huggingface_hub, 'snapshot_download', offline)
    assert call('convert', '--sd3', 'stabilityai/stable-diffusion-3-medium-diffusers',
                '--diception', files[1], '--out', tmp_path / 'model') == 1
    said = capsys.readouterr().err.strip()
    assert 'cannot be downloaded from the hub' in said and 'hf auth login' in said
    assert len(said.splitlines()) == 1


def test_local_files_never_ask_the_hub(files, tmp_path, monkeypatch):
    import huggingface_hub
    monkeypatch.setattr(huggingface_hub, 'snapshot_download', None)
    assert call('convert', '--sd3', files[0], '--diception', files[1], '--out',
                tmp_path / 'model') == 0
