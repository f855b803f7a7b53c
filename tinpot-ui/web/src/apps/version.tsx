// One version: its files and its Towerfile.
import { downloadHref, href } from "../app/base-path";
import { useTitle } from "../app/use-title";
import { identity } from "../identity/identity";
import { useResource } from "../stream";
import { count, ErrorBox, formatBytes, Icon, Loading, PageHead } from "../ui";
import { apps, type BundleFile } from "./api";
import { AppCrumbs } from "./crumbs";
import { Made } from "./made";

export function VersionPage({ name, version }: { name: string; version: number }) {
  useTitle(`${name} version ${version}`);
  const one = useResource(`version ${name} ${version}`, (signal) =>
    apps.version(name, version, signal),
  );
  const data = one.data;
  const files = data?.files ?? [];
  return (
    <>
      <AppCrumbs app={name} here={`Version ${version}`} />
      <PageHead
        title={
          <>
            {name} version {version}{" "}
            {data?.active === true && (
              <span class="status" data-status="succeeded">
                <i aria-hidden="true" />
                active
              </span>
            )}
          </>
        }
      >
        {data !== null && identity.may("deploy") && (
          <a
            class="button"
            href={downloadHref(`api/blobs/${data.archive.digest}`)}
            download={`${name}-${version}.tar.gz`}
          >
            <Icon name="download" /> Download
          </a>
        )}
      </PageHead>
      {one.error !== null && <ErrorBox error={one.error} retry={one.reload} />}
      {data === null && one.error === null && <Loading rows={5} />}
      {data !== null && (
        <>
          <p class="facts">
            <span>
              created <Made at={data.created_at} by={data.created_by} />
            </span>
            <span>
              runtime <b>{data.runtime}</b>
            </span>
            <span>
              content <b class="mono">{data.content.slice(0, 12)}</b>
            </span>
          </p>
          {data.towerfile !== undefined && (
            <section class="panel part" aria-labelledby="towerfile">
              <header>
                <h2 id="towerfile">Towerfile</h2>
              </header>
              <pre class="file-text" tabIndex={0}>
                {data.towerfile}
              </pre>
            </section>
          )}
          <section class="panel part" aria-labelledby="files">
            <header>
              <h2 id="files">{count(files.length, "file")}</h2>
              <a class="button small" href={href(`/apps/${encodeURIComponent(name)}`)}>
                All versions
              </a>
            </header>
            <div class="table-wrap">
              <table class="file-list">
                <tbody>
                  {files.map((file) => (
                    <FileRow key={file.path} file={file} />
                  ))}
                </tbody>
              </table>
            </div>
          </section>
        </>
      )}
    </>
  );
}

function FileRow({ file }: { file: BundleFile }) {
  return (
    <tr>
      <td class="mono">
        {file.path}
        {file.link !== undefined && <span class="faint"> → {file.link}</span>}
        {file.executable && <span class="tag">executable</span>}
      </td>
      <td class="right soft nowrap">{file.bytes !== undefined && formatBytes(file.bytes)}</td>
    </tr>
  );
}
