/**
 * Mistakes in a file of probes, as the command says them: line, probe, field, found and accepted.
 * @module
 */
import t from 'tap';
import { refusalFolder } from '../../support/refusals.ts';

const { file, refuses } = await refusalFolder();

t.test('probe files: line, probe, field, found, accepted', async (t) => {
  let count = 0;
  const probes = (text: string) => [
    'probe',
    ...['-f', 'cluster.yaml', '--probes', file(`p${count++}.json`, text)],
  ];
  const good = '{"from":"pod/shop/web","to":"pod/shop/db","port":5432,"protocol":"TCP"}';
  await refuses(t, [
    { what: 'no JSON', args: probes('[\n{"from": }]'), status: 2, says: ['p0.json:2:10'] },
    { what: 'no list', args: probes(good), status: 2, says: ['p1.json:1:1', 'is no list'] },
    {
      what: 'wrong fields',
      args: probes(
        `[${good},\n{"from":"","to":"pod/shop/db","prot":80,"protocol":"tcp"},\n` +
          `{"from":"pod/shop/web","port":70000,"protocol":"UDP","expect":"maybe","expct":"x"}, 7]`,
      ),
      status: 2,
      says: [
        /p2\.json:2:\d+: \[1\]\.from: .*found ""/,
        /p2\.json:2:\d+: \[1\]\.prot: unknown field \(accepted: from, to, port/,
        /\[2\]\.expct: unknown field \(accepted: did you mean expect/,
        /\[1\]\.protocol: .*found "tcp"; accepted: TCP, UDP/,
        /\[1\]\.port: is missing/,
        /p2\.json:3:\d+: \[2\]\.to: is missing/,
        /\[2\]\.port: .*found 70000; accepted: 1 to 65535/,
        /\[2\]\.expect: .*found "maybe"; accepted: allowed, denied/,
        /\[3\]: is no probe .*found 7/,
      ],
    },
    {
      what: 'ends and ports that the cluster does not have',
      args: probes(
        `[\n{"from":"pod/shop/wbe","to":"pod/shop/db","port":1,"protocol":"TCP"},\n` +
          `{"from":"pod/shop/web","to":"pod/shop/db","port":"htp","protocol":"TCP"}]`,
      ),
      status: 2,
      says: [/p3\.json:2:1: .*pod\/shop\/wbe.*did you mean pod\/shop\/web/, /p3\.json:3:1: .*htp/],
    },
    {
      what: 'a probe file that is not there',
      args: ['probe', '-f', 'cluster.yaml', '--probes', 'absent.json'],
      status: 3,
      says: ['absent.json', 'ENOENT'],
    },
    {
      what: 'nothing to probe',
      args: ['probe', '-f', 'cluster.yaml'],
      status: 2,
      says: ['nothing to probe', '--probes FILE', 'a port is needed'],
    },
    {
      what: 'two ways to ask',
      args: ['probe', '-f', 'cluster.yaml', '--all-pairs', '--from', 'pod/shop/web', '--port', '1'],
      status: 2,
      says: ['--all-pairs --from/--to'],
    },
  ]);
});
