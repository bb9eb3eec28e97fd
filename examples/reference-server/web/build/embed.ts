// What the server's build script expects of a bundle: text files beside their Brotli variant,
// and a page that asks for its font together with its styles.
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { brotliCompress, constants } from 'node:zlib';
import type { Plugin } from 'vite';

const compress = promisify(brotliCompress);
const TEXT = /\.(css|html|js|json|svg|txt|webmanifest)$/;

/** Writes `NAME.br` beside every text file of the bundle. */
export function brotli(): Plugin {
  let folder = '';
  return {
    name: 'auterity:brotli',
    apply: 'build',
    configResolved(config) {
      folder = config.build.outDir;
    },
    async closeBundle() {
      const names = await readdir(folder, { recursive: true });
      await Promise.all(
        names.filter((name) => TEXT.test(name)).map(async (name) => {
          const path = join(folder, name);
          const content = await readFile(path);
          const packed = await compress(content, {
            params: {
              [constants.BROTLI_PARAM_QUALITY]: 11,
              [constants.BROTLI_PARAM_SIZE_HINT]: content.length,
            },
          });
          if (packed.length < content.length) await writeFile(`${path}.br`, packed);
        }),
      );
    },
  };
}

/** Lets the browser fetch the font before it has read the styles that name it. */
export function preloadFont(): Plugin {
  return {
    name: 'auterity:preload-font',
    apply: 'build',
    transformIndexHtml: {
      order: 'post',
      handler(_html, context) {
        return Object.keys(context.bundle ?? {})
          .filter((name) => name.endsWith('.woff2'))
          .map((name) => ({
            tag: 'link',
            attrs: { rel: 'preload', as: 'font', type: 'font/woff2', crossorigin: true, href: `/${name}` },
            injectTo: 'head-prepend' as const,
          }));
      },
    },
  };
}
