// The page /audit.

export function AuditPage() {
  return (
    <div class="page">
      <h1>Audit</h1>
    </div>
  );
}
